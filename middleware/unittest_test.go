package middleware_test

import "testing"

// TestExampleOfATest runs the test that the example shows.
func TestExampleOfATest(t *testing.T) { testOrders(t) }
