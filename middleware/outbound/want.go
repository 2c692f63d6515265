package outbound

import (
	"slices"
	"strconv"
	"strings"
)

// want is what a token is for. It is immutable.
type want struct {
	resources []string
	scopes    []string
	origins   origins
	refusal   error // of a resource or scope that cannot be
}

// maxWant bounds the resource and the scopes of For, in bytes: a family keeps up to maxCells
// of them.
const maxWant = 16 << 10

func (w *want) size() (n int) {
	for _, part := range slices.Concat(w.resources, w.scopes) {
		n += len(part)
	}
	return n
}

// key returns an identity of what is asked for. The order does not matter. Each part has
// its length in front, so no two different lists have one key.
func (w *want) key() string {
	var b strings.Builder
	for _, list := range [][]string{w.resources, w.scopes} {
		sorted := slices.Compact(slices.Sorted(slices.Values(list)))
		b.WriteString(strconv.Itoa(len(sorted)) + "[")
		for _, part := range sorted {
			b.WriteString(strconv.Itoa(len(part)) + ":" + part)
		}
	}
	return b.String()
}

// about returns what an error code of the authorization server is about: the scopes or the
// resources. It is "" if they were not asked for.
func (w *want) about(code string) string {
	switch {
	case code == "invalid_scope" && len(w.scopes) > 0:
		return "the scopes " + listed(w.scopes)
	case code == "invalid_target" && len(w.resources) > 0:
		return "the resources " + listed(w.resources)
	}
	return ""
}
