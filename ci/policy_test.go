package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Services stay stopped while packages are installed, and what forbade them to start is gone afterwards.
func TestWithoutDaemons(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "policy-rc.d")
	refused := errors.New("no space")
	err := withoutDaemons(policy, func() error {
		info, err := os.Stat(policy)
		if err != nil || info.Mode().Perm()&0o100 == 0 {
			t.Errorf("policy while installing: %v, %v: want a program", info, err)
		}
		return refused
	})
	if !errors.Is(err, refused) {
		t.Errorf("got %v, want %v", err, refused)
	}
	if _, err := os.Stat(policy); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("policy afterwards: %v", err)
	}
	// The administrator's own policy is not ours to replace.
	if err := os.WriteFile(policy, []byte("own"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := withoutDaemons(policy, func() error { return nil }); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(policy); err != nil || string(b) != "own" {
		t.Errorf("own policy: %q, %v", b, err)
	}
}
