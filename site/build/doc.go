// Package build makes signed artifacts of commits, by the recipe that stands in the commit.
//
// # Model
//
// A [Builder] belongs to a directory. [Builder.Run] takes an [Order]: a service, its bare repository and a commit. It
// reads the [Recipe] of the commit, writes the commit to a fresh directory, runs the steps there, and makes an artifact
// of the outputs for each platform. Each run leaves a [Result], which is there from its beginning:
//
//	builds/N/result.json   the Result, replaced whole
//	builds/N/log           what the steps wrote, its beginning and its end
//	builds/N/lock          held while the run lives
//	builds/N/cancel        present: the run ends; it names who asked
//	work/N                 checkout, home and temporary files of the run; removed at its end
//
// # Guarantees
//
// Steps run as an unprivileged user, never as root. With bubblewrap they have no network, a read-only system, their own
// processes, and none of the directories with keys and secrets; without it the result says so.
//
// When a run ends, all of its processes end: at its last step, at a failure, after its time, when it is canceled, and
// when the builder itself is killed.
//
// Outputs are taken from the checkout only, by an open directory that no link leads out of. Links, devices and files of
// other users are refused.
//
// # Failure
//
// A builder that was killed leaves a result that says running and a lock that is free. The next run, or the next look,
// says that it ended in the middle; the next run also removes what it left, processes and files.
//
// A disk that is full fails the run. Lines of a log that find no room are counted.
//
// # Reproducibility
//
// The checkout has the bytes and the time of the commit, the paths of a sandbox are the same for each run, and
// SOURCE_DATE_EPOCH is set. Whether the same commit gives the same digest is then a matter of the language's tools.
//
// # Limits
//
// Steps: 64 of 16 KiB. Time: that of the recipe, at most the builder's. Log: 8 MiB of the beginning and 1 MiB of the
// end. Results: the last 200.
package build
