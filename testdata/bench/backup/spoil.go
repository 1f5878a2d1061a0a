package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

const blockSize = 8192

// spoil changes 1% of the blocks of the relations in a data directory on this machine: in
// one run, or scattered, as a seed has it. It says what it changed.
func spoil(dir string, contiguous bool, seed uint64) (string, error) {
	var blocks []place
	err := files(filepath.Join(dir, "base"), func(path string, st fs.FileInfo) error {
		if strings.Trim(st.Name(), "0123456789.") != "" || strings.HasPrefix(st.Name(), ".") {
			return nil // not the main fork of a relation
		}
		for at := int64(0); at+blockSize <= st.Size(); at += blockSize {
			blocks = append(blocks, place{path, at})
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	n := len(blocks) / 100
	if n == 0 {
		return "", fmt.Errorf("%s has %d blocks of relations: too few to change 1%%", dir, len(blocks))
	}
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // the same blocks for each contender
	chosen := make([]place, 0, n)
	if contiguous {
		first := random.IntN(len(blocks) - n)
		chosen = append(chosen, blocks[first:first+n]...)
	} else {
		for _, i := range random.Perm(len(blocks))[:n] {
			chosen = append(chosen, blocks[i])
		}
	}
	for _, p := range chosen {
		if err := p.spoil(); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d of %d blocks", n, len(blocks)), nil
}

// place is a block of a file.
type place struct {
	path string
	at   int64
}

func (p place) spoil() error {
	f, err := os.OpenFile(p.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	b := make([]byte, blockSize)
	if _, err = f.ReadAt(b, p.at); err == nil {
		for i := range b {
			b[i] ^= 0x5A
		}
		_, err = f.WriteAt(b, p.at)
	}
	return errors.Join(err, f.Close())
}
