// Pump moves liquid. It owns a device that only one process may have open.
namespace go pumpapi

struct Stroke {
  1: string version // of the program that moved the pump
  2: i64 total      // strokes since the device was made
}

service Pump {
  /** Moves the pump once. */
  Stroke move()
}
