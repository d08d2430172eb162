//go:build !linux

package lab

import "errors"

func canFillDisk() bool { return false }

func fillDisk(string) error { return errors.ErrUnsupported }

func emptyDisk(string) error { return nil }
