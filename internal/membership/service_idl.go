package membership

import (
	"context"

	"github.com/skerry/skerry/internal/idltext"
	"github.com/skerry/skerry/internal/wire"
)

// Idl tells the .thrift text of a service, where the configuration names it. The file is read now, so that a newer one
// is told without a restart.
func (s *Service) Idl(_ context.Context, service string) (*wire.Idl, error) {
	out := &wire.Idl{Files: []*wire.IdlFile{}}
	d, ok := s.cfg.IDL(service)
	if !ok {
		return out, nil
	}
	if d.Interface != "" {
		out.Declared = &d.Interface
	}
	if d.Version != "" {
		out.Version = &d.Version
	}
	s.reading.Lock() // one at a time: the disk may be slow
	defer s.reading.Unlock()
	files, err := idltext.Read(d.File, d.Include...)
	if err != nil {
		trouble := err.Error()
		out.Trouble = &trouble
		return out, nil
	}
	for _, f := range files {
		out.Files = append(out.Files, &wire.IdlFile{Name: f.Name, Text: f.Text})
	}
	return out, nil
}
