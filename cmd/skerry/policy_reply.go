package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/dynamic"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/sitepolicy"
	"github.com/skerry/skerry/policy"
)

// policyReplies are the .thrift files by which replies of fallbacks become Thrift.
type policyReplies struct {
	files    map[string]string // by service
	includes []string
}

// make returns the replies of the policy's fallbacks as Thrift, of services that have a .thrift file. The error names
// every reply that does not fit.
func (r policyReplies) make(ctx context.Context, p *policy.Policy) (map[string][]byte, error) {
	loaded := map[string]*dynamic.File{}
	for _, service := range slices.Sorted(maps.Keys(r.files)) {
		file, err := dynamic.Load(r.files[service], r.includes...)
		if err != nil {
			return nil, usagef("%w", err)
		}
		loaded[service] = file
	}
	out, used := map[string][]byte{}, map[string]bool{}
	var wrong []error
	sitepolicy.EachFallback(p, func(i *policy.Item) {
		file := loaded[i.Service]
		if file == nil {
			return
		}
		used[i.Service] = true
		b, err := replyBytes(ctx, file, i)
		if err != nil {
			wrong = append(wrong, quote.Errorf("%s: %w", i.Key, err))
			return
		}
		out[sitepolicy.ReplyID(i)] = b
	})
	for _, service := range slices.Sorted(maps.Keys(r.files)) {
		if !used[service] {
			wrong = append(wrong, quote.Errorf("--idl %s: the policy has no fallback for this service", service))
		}
	}
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	if err := errors.Join(wrong...); err != nil {
		return nil, problemf("%w", err)
	}
	return out, nil
}

// replyBytes is the reply of a fallback as the result struct of its methods, by the binary protocol.
func replyBytes(ctx context.Context, file *dynamic.File, i *policy.Item) ([]byte, error) {
	methods := i.Match.Method
	if len(methods) == 0 || slices.ContainsFunc(methods, func(m string) bool { return strings.ContainsAny(m, "*!") }) {
		return nil, errors.New("match.method must name its methods in full, as a reply belongs to their types")
	}
	var all []byte
	for n, name := range methods {
		service, err := file.Find("", i.Service, name)
		if err != nil {
			return nil, err
		}
		m, err := service.Method(name)
		if err != nil {
			return nil, err
		}
		reply, err := m.Reply(i.Reply)
		if err != nil {
			return nil, fmt.Errorf("the reply of %s: %w", name, err)
		}
		buf := thrift.NewTMemoryBuffer()
		if err := reply.Write(ctx, thrift.NewTBinaryProtocolConf(buf, nil)); err != nil {
			return nil, fmt.Errorf("the reply of %s: %w", name, err)
		}
		if n > 0 && !bytes.Equal(all, buf.Bytes()) {
			return nil, fmt.Errorf("%s and %s return other types: give each a fallback of its own", methods[0], name)
		}
		all = buf.Bytes()
	}
	return all, nil
}
