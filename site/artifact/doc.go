// Package artifact keeps what a site runs: artifacts, the store that holds them, and the bundles that carry them.
//
// # Model
//
// An artifact is one service in one version for one platform: a [Manifest] that says how it is run and lists its
// files by SHA-256, and the signature of a builder over it. It never changes, and its name is the [Digest] of what was
// signed. The same files and the same description make the same artifact on every host.
//
// A [Store] is a directory in OCI image layout: blobs under their hashes, and an index. Stock tools of OCI list and
// copy it, ssh-keygen -Y verify checks its signatures, and no registry is needed. [Signers] are the trusted keys, of
// files in OpenSSH's form of allowed_signers.
//
// # Use by an agent
//
//	store, err := artifact.Open(dir, artifact.Options{Floor: 1 << 30})
//	builders, err := artifact.ReadSigners("/etc/skerry/builders")
//	a, err := store.Find("auth", "v15", "linux/amd64")      // or Get(digest), as a plan names it
//	err = store.Pin(ctx, a.Digest, "plan 17")
//	err = store.Stage(ctx, a.Digest, builders, dir)         // all of dir or nothing; fs.ErrExist: it is there
//	args, env, err := a.Manifest.Run.Expand(value)          // value knows ${port}, ${config}, …
//	// … start a.Manifest.Run.Command in dir; when it was up for a minute:
//	err = store.MarkGood(ctx, a.Digest)
//	removed, freed, err := store.GC(ctx, artifact.Garbage{Keep: 3, Age: 7 * 24 * time.Hour})
//
// # Guarantees
//
// Nothing is unpacked that no trusted key has signed, and no byte that differs from what was signed. What runs is said
// by the manifest alone: neither a plan nor a configuration brings a command line.
//
// The same service, version and platform with other content is refused. GC never removes what is pinned, nor the last
// good versions of a service.
//
// Paths mean the same on Linux and Windows: relative, without .., device names or two names that differ in case only.
// There are no links and no modes but executable or not.
//
// # Failure
//
// Blobs are written beside the store's own, proved, and moved to their place when all are there; the index is
// replaced as a whole. A process that is killed, and a disk that is full, leave the store as it was, and what had
// arrived is used by the next attempt. [Options.Floor] is checked before anything is written.
//
// # Limits
//
// 50,000 files and 64 GiB for an artifact, 8 GiB for a file, 16 MiB for a manifest, 100,000 entries of an index. Blobs
// are streamed: memory does not grow with their size.
//
// # Concurrency
//
// All functions are safe for concurrent use, by several processes at a time. A change waits up to 30 s for another one.
//
// The package imports the standard library and packages of this module that do the same. No service links it.
package artifact
