package page

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pg_manage/executor/basebackup/pgtest"
)

// TestChecksumsOfARealCluster verifies every page of a cluster that initdb made, and sees that any
// change of a bit, and any other place, is noticed.
func TestChecksumsOfARealCluster(t *testing.T) {
	s := pgtest.New(t)
	pages, changed := 0, 0
	err := filepath.WalkDir(s.Data, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(s.Data, name)
		if err != nil {
			return err
		}
		f, ok := Relation(filepath.ToSlash(rel))
		if !ok {
			return nil
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if len(b)%8192 != 0 || f.Segment != 0 {
			t.Errorf("%s: %d bytes, segment %d", rel, len(b), f.Segment)
		}
		for block := uint32(0); len(b) >= 8192; block++ {
			p := b[:8192]
			b = b[8192:]
			pages++
			if !Verify(p, block) {
				t.Errorf("%s, block %d: its checksum is %x, not %x", rel, block, binary.LittleEndian.Uint16(p[8:]), Checksum(p, block))
			}
			if New(p) {
				continue
			}
			if Verify(p, block+1) {
				t.Errorf("%s, block %d fits elsewhere too", rel, block)
			}
			at := rand.IntN(8192 * 8)
			p[at/8] ^= 1 << (at % 8)
			changed++
			if Verify(p, block) {
				t.Errorf("%s, block %d: bit %d changed unnoticed", rel, block, at)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if pages < 2000 || changed < 1000 {
		t.Errorf("only %d pages, %d of them filled", pages, changed)
	}
}

func TestNewPages(t *testing.T) {
	p := make([]byte, 8192)
	if !Verify(p, 7) {
		t.Error("a page of zeroes is fine")
	}
	p[5000] = 1
	if Verify(p, 7) {
		t.Error("a page without header that is not empty is not")
	}
}

func TestNames(t *testing.T) {
	for path, want := range map[string]string{
		"base/5/16384": "16384", "base/5/16384.1": "16384 1", "base/5/16384_fsm": "16384 fsm", "base/5/16384_vm.12": "16384 vm 12",
		"base/5/16384_init": "16384 init", "global/1262": "1262", "pg_tblspc/16390/PG_15_202209061/5/16391": "16391",
		"base/5/t3_16384": "16384 temporary", "base/5/t3_16384_fsm.1": "16384 fsm 1 temporary",
		"global/pg_control": "", "global/pg_filenode.map": "", "base/5/PG_VERSION": "", "base/5/pg_internal.init": "",
		"base/16384": "", "base/x/16384": "", "base/5/16384.0": "", "base/5/16384.": "", "base/5/016384": "", "base/5/16384_x": "",
		"base/5/6/16384": "", "pg_xact/0000": "", "16384": "", "pg_tblspc/16390/5/16391": "", "pg_tblspc/16390/PG_15/5": "",
		"base/5/99999999999": "", "base/5/": "", "base/5/t_16384": "", "base/5/t3": "", "base/5/_fsm": "",
	} {
		f, ok := Relation(path)
		got := ""
		if ok {
			b := []string{}
			for _, s := range []string{number10(int64(f.Number)), f.Fork, number10(f.Segment)} {
				if s != "" {
					b = append(b, s)
				}
			}
			if f.Temporary {
				b = append(b, "temporary")
			}
			got = strings.Join(b, " ")
		}
		if got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func BenchmarkChecksum(b *testing.B) {
	p := make([]byte, 8192)
	for i := range p {
		p[i] = byte(i * 7)
	}
	b.SetBytes(8192)
	for i := range b.N {
		Checksum(p, uint32(i))
	}
}

func number10(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// TestBothWaysOfSumming: processors without AVX2 come to the same.
func TestBothWaysOfSumming(t *testing.T) {
	for n := row; n <= 32768; n *= 2 {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(rand.Uint32())
		}
		a, b := offsets, offsets
		rows(&a, p)
		rowsGeneric(&b, p)
		if a != b {
			t.Errorf("%d bytes: %x, want %x", n, a, b)
		}
	}
}

func BenchmarkGeneric(b *testing.B) {
	p := make([]byte, 8192)
	sums := offsets
	b.SetBytes(8192)
	for range b.N {
		rowsGeneric(&sums, p)
	}
}
