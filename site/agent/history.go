package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/skerry/skerry/internal/statedir"
)

const (
	historyMost  = 50      // plans that are kept
	historyPage  = 20      // plans of one answer
	historyBytes = 4 << 20 // of the texts of one answer
)

func (o *orders) historyDir() string { return filepath.Join(o.config.Dir, "plans") }

func (o *orders) historyPath(number int64) string {
	return filepath.Join(o.historyDir(), strconv.FormatInt(number, 10)+".json")
}

// remember keeps a plan that will be obeyed, and forgets the oldest ones.
func (o *orders) remember(number int64, text []byte) error {
	if err := statedir.Make(o.historyDir()); err != nil {
		return err
	}
	if err := o.keep(o.historyPath(number), text); err != nil {
		return err
	}
	numbers, err := o.numbers()
	if err != nil {
		return err
	}
	for len(numbers) > historyMost {
		if err := statedir.Remove(o.historyPath(numbers[len(numbers)-1])); err != nil {
			return err
		}
		numbers = numbers[:len(numbers)-1]
	}
	return nil
}

// numbers are those of the plans that are kept, the latest first.
func (o *orders) numbers() (all []int64, err error) {
	entries, err := os.ReadDir(o.historyDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if n, err := strconv.ParseInt(strings.TrimSuffix(e.Name(), ".json"), 10, 64); err == nil {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	slices.Reverse(all)
	return all, nil
}

// hasObeyed reports whether the host has obeyed a plan of this text.
func (o *orders) hasObeyed(text []byte) bool {
	numbers, err := o.numbers()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(numbers, func(n int64) bool {
		h, err := o.read(o.historyPath(n))
		return err == nil && h.Text == string(text)
	})
}

// history returns the plans that were obeyed with numbers below before, the latest first; 0 stands for no bound.
func (o *orders) history(before int64) (all []SignedPlan, err error) {
	numbers, err := o.numbers()
	if err != nil {
		return nil, err
	}
	bytes := 0
	for _, n := range numbers {
		if before > 0 && n >= before {
			continue
		}
		h, err := o.read(o.historyPath(n))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a newer one has pushed it out
		}
		if err != nil {
			return all, fmt.Errorf("a plan of the past can't be read: %w", err)
		}
		if bytes += len(h.Text) + len(h.Signature); len(all) == historyPage || len(all) > 0 && bytes > historyBytes {
			break
		}
		all = append(all, h.signed())
	}
	return all, nil
}
