/** Event counts of the translator, for `info jit` and the benchmarks. */
export class TcgCounters {
  blocks = 0;
  guestInsns = 0;
  guestBytes = 0;
  irBytes = 0;
  translateNs = 0;
  regions = 0;
  regionBlocks = 0;
  regionInsns = 0;
  regionBytes = 0;
  regionModules = 0;
  regionRejected = 0;
  /** Time to form regions and emit their code, and time the host took to compile and instantiate it. */
  emitNs = 0;
  compileNs = 0;
  blocksInvalidated = 0;
  regionsInvalidated = 0;
  codeWrites = 0;
  arenaFlushes = 0;
  exceptions = 0;
  interrupts = 0;
  smcRetries = 0;
  exits = 0;
  /** Time in guest code, helpers and devices it called included. */
  guestNs = 0;
  /** How often an exit request found the guest in a block of the interpreter and in a region. */
  interpreterSamples = 0;
  regionSamples = 0;
}

/** What only the runtime counts. */
export interface RuntimeCounts {
  readonly tlbFills: number;
  readonly tlbFlushes: number;
}

const ms = (ns: number): string => (ns / 1e6).toFixed(1);

/** Exit requests come with the ticks of host time, so where they find the guest tells how the time divides. */
function tierShares(c: TcgCounters): string {
  const samples = c.interpreterSamples + c.regionSamples;
  if (samples === 0) return 'no samples yet';
  const share = (n: number): string => `${ms((c.guestNs * n) / samples)} ms`;
  return `interpreter ${share(c.interpreterSamples)}, regions ${share(c.regionSamples)} by ${samples} samples`;
}

/** The report of `info jit`. */
export function formatCounters(c: TcgCounters, runtime: RuntimeCounts): string {
  const perBlock = (n: number): string => (c.blocks === 0 ? '0' : (n / c.blocks).toFixed(1));
  return [
    `blocks translated     ${c.blocks} (${perBlock(c.guestInsns)} insns, ${perBlock(c.guestBytes)} bytes, ${perBlock(c.irBytes)} bytes of IR each)`,
    `translation time      ${ms(c.translateNs)} ms (${perBlock(c.translateNs / 1e3)} us a block)`,
    `blocks invalidated    ${c.blocksInvalidated} by ${c.codeWrites} writes to code; ${c.smcRetries} instructions retried`,
    `whole-cache flushes   ${c.arenaFlushes}`,
    `regions compiled      ${c.regions} in ${c.regionModules} modules (${c.regionBlocks} blocks, ${c.regionInsns} insns, ${c.regionBytes} bytes of wasm)`,
    `regions rejected      ${c.regionRejected}`,
    `regions invalidated   ${c.regionsInvalidated}`,
    `code generation time  ${ms(c.emitNs)} ms`,
    `wasm compile time     ${ms(c.compileNs)} ms`,
    `time in guest code    ${ms(c.guestNs)} ms (${tierShares(c)})`,
    `TLB misses            ${runtime.tlbFills}`,
    `TLB flushes           ${runtime.tlbFlushes}`,
    `exits to the loop     ${c.exits} (${c.exceptions} exceptions, ${c.interrupts} interrupts)`,
    '',
  ].join('\n');
}
