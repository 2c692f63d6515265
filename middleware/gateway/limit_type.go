package gateway

import (
	"errors"
	"fmt"
	"math"
)

// Limit bounds the requests of each client. The zero Limit is none.
type Limit struct {
	// Rate is how many requests a second a client may send in the long run, fractions
	// included. 0: any number.
	Rate float64

	// Burst is how many requests a client may send at once after a pause. Default Rate,
	// rounded up. Only with Rate.
	Burst int

	// Concurrent is how many requests of a client may be under way at once. 0: any number.
	Concurrent int
}

// maxLimit bounds each number of a Limit.
const maxLimit = 1_000_000

func (l Limit) validate() error {
	switch {
	case math.IsNaN(l.Rate) || l.Rate < 0 || l.Rate > maxLimit:
		return fmt.Errorf("the rate of the limit is %v: write a number from 0 to %d", l.Rate, maxLimit)
	case l.Burst < 0 || l.Burst > maxLimit:
		return fmt.Errorf("the burst of the limit is %d: write a number from 0 to %d", l.Burst, maxLimit)
	case l.Concurrent < 0 || l.Concurrent > maxLimit:
		return fmt.Errorf("the concurrent requests of the limit are %d: write a number from 0 to %d", l.Concurrent, maxLimit)
	case l.Burst > 0 && l.Rate == 0:
		return errors.New("the limit has a burst and no rate: write the rate too")
	}
	return nil
}
