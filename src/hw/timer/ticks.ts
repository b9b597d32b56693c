/** Conversion between nanoseconds and the ticks of an oscillator, exact for the ranges of JS numbers in use. */

/** Whole ticks at `hz` (up to 9 MHz) that fit in `ns`. */
export function nsToTicks(ns: number, hz: number): number {
  const seconds = Math.floor(ns / 1e9);
  return seconds * hz + Math.floor(((ns - seconds * 1e9) * hz) / 1e9);
}

/** The first nanosecond at which `ticks` ticks at `hz` have passed. */
export function ticksToNs(ticks: number, hz: number): number {
  const seconds = Math.floor(ticks / hz);
  return seconds * 1e9 + Math.ceil(((ticks - seconds * hz) * 1e9) / hz);
}
