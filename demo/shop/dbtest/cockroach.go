package dbtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// startCockroach uses the cluster that somebody runs, or starts three nodes in three regions, in memory.
func startCockroach() *server {
	if at := os.Getenv("SHOP_TEST_CRDB_URL"); at != "" {
		pattern, err := clusterURL(at)
		return &server{url: pattern, err: err}
	}
	binary := os.Getenv("COCKROACH_BINARY")
	if binary == "" {
		return &server{skip: "neither SHOP_TEST_CRDB_URL nor COCKROACH_BINARY is set"}
	}
	dir, err := os.MkdirTemp("", "shop-cockroach-")
	if err != nil {
		return &server{err: err}
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &cluster{binary: binary, dir: dir}
	s := &server{stop: func() {
		cancel()
		for _, ended := range c.ended {
			<-ended
		}
		os.RemoveAll(dir)
	}}
	if err := c.start(ctx); err != nil {
		s.stop()
		return &server{err: fmt.Errorf("cockroach: %w", err)}
	}
	s.url = "cockroach://root@" + c.addrs[0] + "/%s?sslmode=disable"
	return s
}

// cluster is three nodes, one per region.
type cluster struct {
	binary, dir string
	addrs       []string
	ended       []chan error
}

func (c *cluster) start(ctx context.Context) error {
	for range Regions {
		// Every node has to know the others' ports before it starts: the ports are free now, and soon taken.
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		c.addrs = append(c.addrs, ln.Addr().String())
		ln.Close()
	}
	for i, region := range Regions {
		cmd := exec.CommandContext(ctx, c.binary, "start", "--insecure", "--store=type=mem,size=512MiB", "--locality=region="+region,
			"--listen-addr="+c.addrs[i], "--http-addr=127.0.0.1:0", "--join="+strings.Join(c.addrs, ","), "--cache=64MiB", "--max-sql-memory=128MiB")
		cmd.Dir = c.dir
		log, err := os.Create(filepath.Join(c.dir, region+".log"))
		if err != nil {
			return err
		}
		cmd.Stdout, cmd.Stderr = log, log
		cmd.WaitDelay = time.Second
		if err := cmd.Start(); err != nil {
			return errors.Join(err, log.Close())
		}
		ended := make(chan error, 2)
		c.ended = append(c.ended, ended)
		go func() {
			ended <- cmd.Wait()
			log.Close()
		}()
	}
	for deadline := time.Now().Add(startTimeout); ; {
		var out bytes.Buffer
		cmd := exec.CommandContext(ctx, c.binary, "init", "--insecure", "--host="+c.addrs[0])
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		if err == nil || strings.Contains(out.String(), "already been initialized") {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("init: %w: %s", err, out.String())
		}
		select {
		case end := <-c.ended[0]:
			c.ended[0] <- end
			return fmt.Errorf("ended at once: %w", end)
		case <-time.After(200 * time.Millisecond):
		}
	}
	return answers("cockroach://root@"+c.addrs[0]+"/defaultdb?sslmode=disable", c.ended[0])
}
