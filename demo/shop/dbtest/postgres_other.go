//go:build !unix

package dbtest

// startPostgres knows no way to start a server here that ends with the test.
func startPostgres() *server { return &server{skip: "tests start PostgreSQL on Unix only"} }
