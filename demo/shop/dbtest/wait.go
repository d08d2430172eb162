package dbtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// startTimeout is for a server to answer. Machines that run tests are busy.
const startTimeout = time.Minute

// answers waits for a server.
func answers(at string, ended chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	_, rest, _ := strings.Cut(at, ":")
	for {
		conn, err := pgx.Connect(ctx, "postgres:"+rest)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case end := <-ended:
			ended <- end
			return fmt.Errorf("ended at once: %w", errors.Join(end, err))
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}
