// Command write writes the demo databases into a directory:
//
//	go run ./geo/mmdb/demodb/write DIR
package main

import (
	"fmt"
	"os"

	"github.com/meridian-gtm/meridian/geo/mmdb/demodb"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: write DIR")
		os.Exit(2)
	}
	city, asn, err := demodb.WriteFiles(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(city)
	fmt.Println(asn)
}
