import {
  APPROXIMATE,
  maskDifferences,
  maskPushes,
  maskStoredState,
  skipsInput,
  vendorDifference,
} from './differences.ts';
import { CASE_AT } from './encoder.ts';
import { DATA, I_CR2, I_FSW, I_VECTOR, IMAGE_SIZE, type OracleCpu, REGION, REGION_SIZE } from './image.ts';
import { InputGenerator } from './inputs.ts';
import { HOST, HOST_SIZE } from './native-code.ts';
import { normalise } from './normalise.ts';
import { codeBytes, type OracleCase } from './oracle-case.ts';
import { seedOf } from './random.ts';
import { undefinedFlags, undefinedResult } from './undefined-flags.ts';

/** The final state of one run: normalised image and data window. */
export interface Outcome {
  readonly image: Uint8Array;
  readonly data: Uint8Array;
}

const STORES_STATE = /^(fx?save|fn?stenv|fnsave|xsave)/;
const LOW_LIMIT = 0x1_0000;

/** Runs cases on processors from the same inputs. */
export class Session {
  readonly inputs = new InputGenerator();
  private readonly cpus: readonly OracleCpu[];
  private readonly image = new Uint8Array(IMAGE_SIZE);
  private readonly inputView = new DataView(this.inputs.image.buffer);
  private readonly view = new DataView(this.image.buffer);

  constructor(cpus: readonly OracleCpu[]) {
    this.cpus = cpus;
    for (const cpu of cpus) cpu.readOnly.set(this.inputs.readOnly);
  }

  load(c: OracleCase): void {
    const code = codeBytes(c.code);
    for (const cpu of this.cpus) cpu.load(code, CASE_AT, c.bits);
  }

  /** Makes input number `n` of a case. */
  prepare(c: OracleCase, n: number): void {
    this.inputs.generate(c, (seedOf(c.code) + Math.imul(n, 0x9e37_79b1) + c.bits) >>> 0);
  }

  /** Runs from the prepared input. The image is valid until the next call. */
  run(cpu: OracleCpu, c: OracleCase): Outcome {
    cpu.input.set(this.inputs.image);
    cpu.data.set(this.inputs.data);
    cpu.run();
    this.image.set(cpu.output);
    maskDifferences(c, this.view);
    normalise(this.image, this.view, c.bits, undefinedFlags(c, this.inputs.image));
    maskPushes(c, cpu.data, this.view.getUint32(I_VECTOR, true));
    if (STORES_STATE.test(c.name)) {
      const pending = (this.inputView.getUint16(I_FSW, true) & 0x80) !== 0;
      maskStoredState(c, cpu.data, this.inputs.target - DATA, pending);
    }
    return { image: this.image, data: cpu.data };
  }

  /** True when there is nothing that could be compared: an undefined result, or vendors differ. */
  isUndefined(c: OracleCase): boolean {
    return undefinedResult(c, this.inputs.image) || skipsInput(c, this.inputView, this.inputs.target);
  }
}

/** Encodings of which nothing is compared. */
export function isComparable(c: OracleCase): boolean {
  return vendorDifference(c) === undefined && !APPROXIMATE.test(c.name) && !isFarLoad(c);
}

/** Meant as a VEX prefix, but LDS or LES in 32-bit code: of another length, so that it reads what follows the case. */
function isFarLoad(c: OracleCase): boolean {
  return c.bits === 32 && /^(66|67|f2|f3|2e|36|3e|26|64|65|f0)*c[45][0-9a-b]/.test(c.code);
}

/** A page fault outside the oracle's region: natively there may be the host's own memory. */
export function isOutside(image: Uint8Array): boolean {
  const view = new DataView(image.buffer, image.byteOffset);
  if (view.getUint32(I_VECTOR, true) !== 14) return false;
  const address = Number(view.getBigUint64(I_CR2, true));
  if (address >= HOST && address < HOST + HOST_SIZE) return true;
  return address >= LOW_LIMIT && (address < REGION || address >= REGION + REGION_SIZE);
}

/** FNV-1a over words of the image and the words of the data window that changed. */
export function digest(outcome: Outcome, before: Uint8Array): number {
  let h = 0x811c_9dc5;
  const { image, data } = outcome;
  const words = new Int32Array(image.buffer, image.byteOffset, IMAGE_SIZE >> 2);
  for (let i = 0; i < words.length; i++) h = Math.imul(h ^ words[i]!, 0x0100_0193) ^ (h >>> 15);
  if (Buffer.compare(data, before) !== 0) {
    for (let i = 0; i < data.length; i++) {
      if (data[i] !== before[i]) h = Math.imul(h ^ (i << 8) ^ data[i]!, 0x0100_0193) ^ (h >>> 15);
    }
  }
  return h >>> 0;
}
