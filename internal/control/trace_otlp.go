package control

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/spans"
)

// OTLP is the JSON form of traces by OpenTelemetry's protocol (ExportTraceServiceRequest), which other tools read.
type OTLP struct {
	ResourceSpans []otlpResource `json:"resourceSpans"`
}

type otlpResource struct {
	Resource   otlpAttributes `json:"resource"`
	ScopeSpans []otlpScope    `json:"scopeSpans"`
}

type otlpAttributes struct {
	Attributes []otlpAttribute `json:"attributes"`
}

type otlpScope struct {
	Scope struct {
		Name string `json:"name"`
	} `json:"scope"`
	Spans []otlpSpan `json:"spans"`
}

type otlpSpan struct {
	TraceID    string          `json:"traceId"`
	SpanID     string          `json:"spanId"`
	ParentID   string          `json:"parentSpanId,omitempty"`
	Name       string          `json:"name"`
	Kind       int             `json:"kind"`
	Start      string          `json:"startTimeUnixNano"`
	End        string          `json:"endTimeUnixNano"`
	Attributes []otlpAttribute `json:"attributes"`
	Status     otlpStatus      `json:"status"`
}

type otlpStatus struct {
	Code    int    `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

type otlpAttribute struct {
	Key   string    `json:"key"`
	Value otlpValue `json:"value"`
}

// otlpValue is a text or a number; the protocol writes numbers as texts.
type otlpValue struct {
	Text   *string `json:"stringValue,omitempty"`
	Number *string `json:"intValue,omitempty"`
}

// Kinds of spans and the status of a failure, by the protocol.
const (
	otlpServer = 2
	otlpClient = 3
	otlpError  = 2
)

// servedID is the id of the callee's span: skerry gives both sides of an attempt one id, the protocol one each.
func servedID(id uint64) uint64 { return cmp.Or(id^0x736b_6572_7279_0001, 1) }

func spanText(id uint64) string { return fmt.Sprintf("%016x", id) }

// ToOTLP writes traces in the form of the protocol, by process. Times are those at which [Tracer.One] shows the spans.
func ToOTLP(list []Trace) OTLP {
	of := map[string]*otlpResource{}
	for i := range list {
		t := &list[i]
		served := map[uint64]bool{} // ids of spans with both sides
		for _, s := range t.Spans {
			served[s.ID] = s.caller != nil && s.callee != nil
		}
		for j := range t.Spans {
			s := &t.Spans[j]
			parent := s.Parent
			if served[parent] {
				parent = servedID(parent)
			}
			if s.caller != nil {
				add(of, s.caller, t.otlp(s, s.caller, s.ID, parent))
				parent = s.ID
			}
			if s.callee != nil {
				id := s.ID
				if served[id] {
					id = servedID(id)
				}
				add(of, s.callee, t.otlp(s, s.callee, id, parent))
			}
		}
	}
	o := OTLP{ResourceSpans: []otlpResource{}}
	for _, key := range slices.Sorted(maps.Keys(of)) {
		o.ResourceSpans = append(o.ResourceSpans, *of[key])
	}
	return o
}

// add puts a span to those of its process and service.
func add(of map[string]*otlpResource, from *told, s otlpSpan) {
	service, version := from.Service, from.Version
	if from.Side == spans.Caller {
		service, version = from.Caller, ""
	}
	key := from.process + " " + service + " " + version
	r := of[key]
	if r == nil {
		host, rest, _ := strings.Cut(from.process, "/")
		pid, _, _ := strings.Cut(rest, "/")
		r = &otlpResource{ScopeSpans: make([]otlpScope, 1)}
		r.ScopeSpans[0].Scope.Name = "skerry"
		r.Resource.Attributes = attributes("service.name", cmp.Or(service, "unknown_service"),
			"service.version", version, "service.instance.id", from.process, "host.name", host)
		if n, err := strconv.Atoi(pid); err == nil {
			r.Resource.Attributes = append(r.Resource.Attributes, numberOf("process.pid", int64(n)))
		}
		of[key] = r
	}
	r.ScopeSpans[0].Spans = append(r.ScopeSpans[0].Spans, s)
}

func (t *Trace) otlp(s *TraceSpan, from *told, id, parent uint64) otlpSpan {
	began := t.Began.Add(s.Began)
	if from == s.callee && s.caller != nil {
		late := from.at.Sub(s.caller.at)
		began = began.Add(min(max(late, 0), max(s.caller.Took-from.Took, 0)))
	}
	o := otlpSpan{TraceID: t.ID, SpanID: spanText(id), Name: strings.TrimSuffix(s.Service+"/"+s.Method, "/"),
		Kind: otlpClient, Start: nano(began), End: nano(began.Add(from.Took))}
	if parent != 0 {
		o.ParentID = spanText(parent)
	}
	peer := "server.address"
	if from.Side != spans.Caller {
		o.Kind, peer = otlpServer, "client.address"
	}
	o.Attributes = attributes("rpc.system", "apache_thrift", "rpc.service", s.Service, "rpc.method", s.Method, peer,
		from.Peer, "skerry.caller", from.Caller, "skerry.version", from.Version, "skerry.rules", from.Rules,
		"skerry.mark", from.Mark, "skerry.release", from.Release, "skerry.notes", from.Notes,
		"error.type", from.Failure)
	if from.Attempt > 1 {
		o.Attributes = append(o.Attributes, numberOf("skerry.attempt", int64(from.Attempt)))
	}
	if from.Wait > 0 {
		o.Attributes = append(o.Attributes, numberOf("skerry.wait_us", from.Wait.Microseconds()))
	}
	if from.Limit > 0 {
		o.Attributes = append(o.Attributes, numberOf("skerry.limit_ms", from.Limit.Milliseconds()))
	}
	if from.Failure != "" {
		o.Status = otlpStatus{otlpError, from.Failure}
	}
	return o
}

func nano(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

// attributes makes those of pairs of names and texts; empty texts are left out.
func attributes(pairs ...string) []otlpAttribute {
	list := []otlpAttribute{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if text := pairs[i+1]; text != "" {
			list = append(list, otlpAttribute{pairs[i], otlpValue{Text: &text}})
		}
	}
	return list
}

func numberOf(key string, n int64) otlpAttribute {
	text := strconv.FormatInt(n, 10)
	return otlpAttribute{key, otlpValue{Number: &text}}
}
