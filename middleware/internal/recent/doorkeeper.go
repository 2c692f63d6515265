package recent

// doorkeeper admits a key at its second Put. It records 16 bits of each key's hash,
// its fingerprint, in buckets of four; each bucket is one word, and a new fingerprint
// evicts its oldest. A key with the fingerprint of another is cached one Put early; a
// key whose fingerprint was evicted, one Put late.
type doorkeeper []uint64

const fingerprint = 16 // bits

func newDoorkeeper(buckets int) doorkeeper { return make(doorkeeper, buckets) }

// admit reports whether the hash was recorded before, and records it.
func (d doorkeeper) admit(hash uint64) bool {
	const mask = 1<<fingerprint - 1
	mark := max(1, hash>>(64-fingerprint)) // 0 marks a free slot
	bucket := &d[hash%uint64(len(d))]
	for marks := *bucket; marks != 0; marks >>= fingerprint {
		if marks&mask == mark {
			return true
		}
	}
	*bucket = *bucket<<fingerprint | mark
	return false
}
