package recent

// doorkeeper tells keys that come for the second time from those that come for
// the first, by 16 bits of their hash: buckets of four fingerprints, each bucket in
// one word, the oldest pushed out first. It errs both ways. A key taken for another
// is cached one Put early; one whose fingerprint was pushed out, one Put late.
type doorkeeper []uint64

const fingerprint = 16 // bits

func newDoorkeeper(buckets int) doorkeeper { return make(doorkeeper, buckets) }

// admit reports whether the hash came before, and records that it came.
func (d doorkeeper) admit(hash uint64) bool {
	const mask = 1<<fingerprint - 1
	mark := max(1, hash>>(64-fingerprint)) // 0 marks a free place
	bucket := &d[hash%uint64(len(d))]
	for marks := *bucket; marks != 0; marks >>= fingerprint {
		if marks&mask == mark {
			return true
		}
	}
	*bucket = *bucket<<fingerprint | mark
	return false
}
