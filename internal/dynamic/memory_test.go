package dynamic

import (
	"context"
	"runtime"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/memtest"
)

// DecodedSizes are about the memory of values: no less than they use, except for the part of the
// message itself.
func TestDecodedSizes(t *testing.T) {
	m := method(t, "echo")
	for name, text := range map[string]string{
		"numbers":  `{"value":{"ids":[` + strings.Repeat("1,", 50_000) + `1]}}`,
		"structs":  `{"value":{"nested":[` + strings.Repeat("{\"1\":[1]},", 5_000) + `{}]}}`,
		"children": `{"value":{"children":[` + strings.Repeat("{},", 20_000) + `{}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			args, err := m.Args([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			buffer := thrift.NewTMemoryBuffer()
			p := thrift.NewTBinaryProtocolConf(buffer, nil)
			if err := args.Write(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			back := &Struct{Name: m.Name, fields: m.args, values: map[int16]value{}}
			c := &counter{TProtocol: p}
			before := memtest.Held()
			if err := back.Read(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			took := int(memtest.Held() - before)
			runtime.KeepAlive(args)
			element, structure, entry, field := back.DecodedSizes()
			counted := c.elements*element + c.structs*structure + c.entries*entry + c.fields*field
			if took > counted+64<<10 || took < counted/8 {
				t.Errorf("%d bytes are held, %d counted", took, counted)
			}
			runtime.KeepAlive(back)
		})
	}
}

// counter counts like a reader of package rpc.
type counter struct {
	thrift.TProtocol
	elements, structs, entries, fields int
}

func (c *counter) ReadStructBegin(ctx context.Context) (string, error) {
	c.structs++
	return c.TProtocol.ReadStructBegin(ctx)
}

func (c *counter) ReadFieldBegin(ctx context.Context) (string, thrift.TType, int16, error) {
	c.fields++
	return c.TProtocol.ReadFieldBegin(ctx)
}

func (c *counter) ReadListBegin(ctx context.Context) (thrift.TType, int, error) {
	t, n, err := c.TProtocol.ReadListBegin(ctx)
	c.elements += n
	return t, n, err
}

func (c *counter) ReadMapBegin(ctx context.Context) (k, v thrift.TType, n int, err error) {
	k, v, n, err = c.TProtocol.ReadMapBegin(ctx)
	c.entries += n
	return k, v, n, err
}
