package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/releases"
)

func (a *app) printCopies(list []releases.Copies) {
	var rows [][]string
	for _, c := range list {
		slow := "-"
		if c.MaxP99 > 0 {
			slow = fmt.Sprintf("%d > %s", c.Slow, number.Latency(time.Duration(c.MaxP99)*time.Millisecond))
		}
		rows = append(rows, []string{c.Service + "/" + c.Version, c.Side(), strconv.FormatInt(c.Calls, 10),
			strconv.FormatInt(c.Failed, 10), slow, orDash(c.KindsText())})
	}
	a.printTable([]string{"COPIES TO", "COUNTED BY", " CALLS", " FAILED", " SLOW", "NOT OK"}, rows)
}
