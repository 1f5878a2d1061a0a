package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/posix"
)

// BenchmarkRange reads 64 MiB by ranges of 1 MiB, as restores do, and as one.
func BenchmarkRange(b *testing.B) {
	const size = 64 << 20
	file, recipient := keys(b)
	for form, target := range map[string]repo.Target{"plain": {}, "encrypted": {Recipients: []string{recipient}, AgeIdentityFile: file}} {
		root := b.TempDir()
		d, err := posix.New("file://"+root, "file", root)
		if err != nil {
			b.Fatal(err)
		}
		c, err := New(d, dir, target)
		if err != nil {
			b.Fatal(err)
		}
		label := info(1, "").Label
		o, err := c.Create(context.Background(), label, c.PartName(0), bytes.NewReader(bytesOf(1, size)))
		if err != nil {
			b.Fatal(err)
		}
		r, err := c.Object(context.Background(), label, o)
		if err != nil {
			b.Fatal(err)
		}
		for name, piece := range map[string]int64{"1MiB": 1 << 20, "whole": size} {
			b.Run(form+"/"+name, func(b *testing.B) {
				b.SetBytes(size)
				b.ReportAllocs()
				for b.Loop() {
					for off := int64(0); off < size; off += piece {
						in, err := r.Range(context.Background(), off, piece)
						if err != nil {
							b.Fatal(err)
						}
						if n, err := io.Copy(io.Discard, in); err != nil || n != piece {
							b.Fatal(n, err)
						}
						in.Close() //nolint:errcheck // it is read only
					}
				}
			})
		}
	}
}

// BenchmarkList lists a thousand backups.
func BenchmarkList(b *testing.B) {
	root := b.TempDir()
	d, err := posix.New("file://"+root, "file", root)
	if err != nil {
		b.Fatal(err)
	}
	c, err := New(d, dir, repo.Target{})
	if err != nil {
		b.Fatal(err)
	}
	for n := range 1000 {
		i := info(n, "")
		sum := "0000000000000000000000000000000000000000000000000000000000000000"
		i.Parts = []Object{{"part-0000.tar.zst", 0, sum}}
		i.Index, i.Manifest = Object{"index.json.zst", 0, sum}, Object{"backup_manifest", 0, sum}
		text, err := json.Marshal(i)
		if err != nil {
			b.Fatal(err)
		}
		at := filepath.Join(root, dir, i.Label)
		if err := os.MkdirAll(at, 0o700); err != nil {
			b.Fatal(err)
		}
		for name, text := range map[string][]byte{infoName: text, i.Parts[0].Name: nil, i.Index.Name: nil, i.Manifest.Name: nil} {
			if err := os.WriteFile(filepath.Join(at, name), text, 0o600); err != nil {
				b.Fatal(err)
			}
		}
	}
	for b.Loop() {
		if all, err := c.List(context.Background()); err != nil || len(all) != 1000 || all[0].Broken != "" {
			b.Fatal(len(all), err)
		}
	}
}
