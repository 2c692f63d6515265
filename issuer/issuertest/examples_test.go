package issuertest_test

import "testing"

// TestExamples runs what the examples show.
func TestExamples(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T){
		"TestOrders": testOrders, "TestBadTokens": testBadTokens, "TestOutage": testOutage, "TestLeakedKey": testLeakedKey, "TestExpiry": testExpiry, "TestPod": testPod,
	} {
		t.Run(name, test)
	}
}
