package catalog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"pg_manage/executor/repo/codec"
	"pg_manage/executor/repo/storage"
)

// The form of age's payload, https://c2sp.org/age: after the header 16 bytes of nonce,
// then chunks of 64 KiB, of which each is 16 bytes longer when encrypted.
const (
	nonceSize   = 16
	chunkSize   = 64 << 10
	chunkSealed = chunkSize + 16
)

// seals is what all ranges of an encrypted object need of it.
type seals struct {
	seal *codec.Seal
	head []byte // up to the payload
	tail []byte // the last chunk, encrypted
}

// headSizes are what is read of an object until its header is whole; most have one of
// some 200 bytes, and age takes at most 2 MiB.
func headSizes() []int64 { return []int64{4 << 10, 256 << 10, 3 << 20} }

// unseal reads the header and the end, and gives the size of what is encrypted.
func (r *Reader) unseal(ctx context.Context) (*seals, int64, error) {
	s := &seals{}
	for _, n := range headSizes() {
		n = min(n, r.stored)
		head, err := r.piece(ctx, 0, n)
		if err != nil {
			return nil, 0, err
		}
		s.seal, err = r.c.codec.OpenSeal(head)
		switch {
		case err == nil && s.seal.Size()+nonceSize <= n:
			s.head = head[:s.seal.Size()+nonceSize]
		case err == nil, errors.Is(err, io.ErrUnexpectedEOF):
			if n < r.stored {
				continue
			}
			return nil, 0, &codec.DamagedError{Err: errors.New("it is cut short")}
		default:
			return nil, 0, err
		}
		break
	}
	if s.head == nil {
		return nil, 0, &codec.DamagedError{Err: errors.New("its header has no end")}
	}
	payload := r.stored - int64(len(s.head))
	if payload <= 0 {
		return nil, 0, &codec.DamagedError{Err: errors.New("it is cut short")}
	}
	var err error
	s.tail, err = r.piece(ctx, r.stored-(payload-1)%chunkSealed-1, (payload-1)%chunkSealed+1)
	if err != nil {
		return nil, 0, err
	}
	_, size, err := s.seal.ReaderAt(&sealedAt{s: s, size: r.stored}, r.stored)
	if err != nil {
		return nil, 0, &codec.DamagedError{Err: err}
	}
	return s, size, nil
}

// piece reads a few bytes as stored.
func (r *Reader) piece(ctx context.Context, off, n int64) ([]byte, error) {
	in, err := r.c.d.OpenRange(ctx, r.path(), off, n)
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(in, b)
	if err == nil {
		// What is longer than backup.json says is no more read than what is shorter.
		err = in.Close()
	} else {
		err = errors.Join(r.short(err), in.Close())
	}
	return b, err
}

// short makes damage of an end that comes too early.
func (r *Reader) short(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return &codec.DamagedError{Err: fmt.Errorf("it is shorter than the %d bytes that were stored", r.stored)}
	}
	return err
}

// decrypt gives n bytes of the content from off on.
func (r *Reader) decrypt(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if err := storage.CheckRange(off, n); err != nil {
		return nil, err
	}
	p := &plainRange{r: r, off: off, left: min(n, max(r.size-off, 0)), short: off+n > r.size && n > 0}
	if p.left == 0 {
		return p, nil
	}
	// All chunks that hold a piece of the range, save the last one, which is here already.
	from, to := off/chunkSize*chunkSealed, ((off+p.left-1)/chunkSize+1)*chunkSealed
	base, end := int64(len(r.sealed.head)), r.stored-int64(len(r.sealed.tail))
	from, to = min(base+from, end), min(base+to, end)
	p.at = &sealedAt{s: r.sealed, size: r.stored, next: from}
	if from < to {
		in, err := r.c.d.OpenRange(ctx, r.path(), from, to-from)
		if err != nil {
			return nil, err
		}
		p.at.in = in
	}
	var err error
	if p.plain, _, err = r.sealed.seal.ReaderAt(p.at, r.stored); err != nil {
		return nil, errors.Join(&codec.DamagedError{Err: err}, p.Close())
	}
	return &buffered{bufio.NewReaderSize(p, 2*chunkSize), p}, nil
}

// buffered spares what each small read of what is encrypted costs.
type buffered struct {
	*bufio.Reader
	io.Closer
}

// plainRange decrypts a range that is read in order.
type plainRange struct {
	r         *Reader
	at        *sealedAt
	plain     io.ReaderAt
	off, left int64
	short     bool // the object ends before the range does
}

func (p *plainRange) Read(b []byte) (int, error) {
	switch {
	case p.left == 0 && p.short:
		return 0, fmt.Errorf("it ends there: %w", io.ErrUnexpectedEOF)
	case p.left == 0:
		return 0, io.EOF
	}
	n, err := p.plain.ReadAt(b[:min(int64(len(b)), p.left)], p.off)
	p.off += int64(n)
	p.left -= int64(n)
	switch {
	case err == nil, err == io.EOF && n > 0:
		return n, nil
	case p.at.fault != nil:
		return n, p.r.short(p.at.fault)
	}
	return n, &codec.DamagedError{Err: err}
}

// Close ends the reading.
func (p *plainRange) Close() error {
	if p.at == nil || p.at.in == nil {
		return nil
	}
	return p.at.in.Close()
}

// sealedAt is an encrypted object for one reader that goes through a part of it in order:
// one stream gives that part, whatever the sizes of the reads.
type sealedAt struct {
	s     *seals
	size  int64
	in    io.ReadCloser // nil: nothing but the head and the tail is needed
	next  int64         // where in is
	fault error         // of in
}

// ReadAt is part of io.ReaderAt. Of the head it gives no more than there is of it.
func (a *sealedAt) ReadAt(b []byte, off int64) (int, error) {
	tail := a.size - int64(len(a.s.tail))
	switch {
	case off < int64(len(a.s.head)):
		return end(copy(b, a.s.head[off:]), len(b))
	case off >= tail && off <= a.size:
		return end(copy(b, a.s.tail[off-tail:]), len(b))
	case a.in == nil || off != a.next:
		a.fault = fmt.Errorf("it is read at %d, out of order", off)
		return 0, a.fault
	}
	n, err := io.ReadFull(a.in, b)
	a.next += int64(n)
	if err != nil {
		a.fault = err
	}
	return n, err
}

func end(n, want int) (int, error) {
	if n < want {
		return n, io.EOF
	}
	return n, nil
}
