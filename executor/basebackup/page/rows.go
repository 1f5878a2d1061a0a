package page

import "encoding/binary"

// rowsGeneric has the lanes take in the rows of p, eight lanes at a time, so that their
// sums stay in registers.
func rowsGeneric(sums *[lanes]uint32, p []byte) {
	for lane := 0; lane < lanes; lane += 8 {
		o := (*[8]uint32)(sums[lane:])
		s0, s1, s2, s3, s4, s5, s6, s7 := o[0], o[1], o[2], o[3], o[4], o[5], o[6], o[7]
		for at := lane * 4; at+32 <= len(p); at += row {
			q := (*[32]byte)(p[at:])
			a := binary.LittleEndian.Uint64(q[0:8])
			b := binary.LittleEndian.Uint64(q[8:16])
			c := binary.LittleEndian.Uint64(q[16:24])
			d := binary.LittleEndian.Uint64(q[24:32])
			s0 ^= uint32(a)
			s1 ^= uint32(a >> 32)
			s2 ^= uint32(b)
			s3 ^= uint32(b >> 32)
			s4 ^= uint32(c)
			s5 ^= uint32(c >> 32)
			s6 ^= uint32(d)
			s7 ^= uint32(d >> 32)
			s0 = s0*prime ^ s0>>17
			s1 = s1*prime ^ s1>>17
			s2 = s2*prime ^ s2>>17
			s3 = s3*prime ^ s3>>17
			s4 = s4*prime ^ s4>>17
			s5 = s5*prime ^ s5>>17
			s6 = s6*prime ^ s6>>17
			s7 = s7*prime ^ s7>>17
		}
		*o = [8]uint32{s0, s1, s2, s3, s4, s5, s6, s7}
	}
}
