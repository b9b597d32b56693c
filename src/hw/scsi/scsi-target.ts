/** The units behind one SCSI controller, by target and logical unit number, and what answers where there is no unit (SPC-4 5.8). */
import * as codes from './scsi-codes.ts';
import {
  failed,
  GOOD,
  reply,
  reportLuns,
  type ScsiCompletion,
  type ScsiData,
  type ScsiResult,
  type ScsiUnit,
  senseBytes,
  standardInquiry,
} from './scsi-unit.ts';

export interface ScsiPlace {
  readonly target: number;
  readonly lun: number;
}

export interface BusLimits {
  readonly maxTarget: number;
  readonly maxLun: number;
}

export class ScsiBus {
  readonly limits: BusLimits;
  readonly #units = new Map<number, ScsiUnit>();

  constructor(limits: BusLimits) {
    this.limits = limits;
  }

  /** In the order of target and number. */
  get units(): ReadonlyArray<readonly [ScsiPlace, ScsiUnit]> {
    return [...this.#units]
      .sort(([a], [b]) => a - b)
      .map(([key, unit]) => [{ target: Math.floor(key / 65536), lun: key % 65536 }, unit] as const);
  }

  find(target: number, lun: number): ScsiUnit | undefined {
    return this.#units.get(target * 65536 + lun);
  }

  luns(target: number): number[] {
    return this.units.filter(([place]) => place.target === target).map(([place]) => place.lun);
  }

  placeOf(unit: ScsiUnit): ScsiPlace | undefined {
    return this.units.find(([, other]) => other === unit)?.[0];
  }

  /** The first free place that agrees with what is given; a string says why there is none. */
  choose(target: number | undefined, lun: number | undefined): ScsiPlace | string {
    const { maxTarget, maxLun } = this.limits;
    if (target !== undefined && target > maxTarget) return `bad scsi device id: ${target}`;
    if (lun !== undefined && lun > maxLun) return `bad scsi device lun: ${lun}`;
    if (target === undefined) {
      for (let id = 0; id <= maxTarget; id++)
        if (this.find(id, lun ?? 0) === undefined) return { target: id, lun: lun ?? 0 };
      return 'no free target';
    }
    if (lun !== undefined) return this.find(target, lun) === undefined ? { target, lun } : 'lun already used';
    for (let n = 0; n <= maxLun; n++) if (this.find(target, n) === undefined) return { target, lun: n };
    return 'no free lun';
  }

  add({ target, lun }: ScsiPlace, unit: ScsiUnit): void {
    this.#units.set(target * 65536 + lun, unit);
  }

  remove(unit: ScsiUnit): void {
    for (const [key, other] of this.#units) if (other === unit) this.#units.delete(key);
  }

  /** False: there is no such target. */
  execute(target: number, lun: number, cdb: Uint8Array, data: ScsiData, done: ScsiCompletion): boolean {
    const luns = this.luns(target);
    if (luns.length === 0) return false;
    const unit = this.find(target, lun);
    if (unit !== undefined) unit.execute(cdb, data, luns, done);
    else done(withoutUnit(cdb, data, lun, luns));
    return true;
  }
}

/** A target answers for logical units that it does not have. */
function withoutUnit(cdb: Uint8Array, data: ScsiData, lun: number, luns: readonly number[]): ScsiResult {
  const noUnit = codes.sense(codes.SENSE_ILLEGAL_REQUEST, codes.ASC_NO_SUCH_LUN);
  switch (cdb[0]) {
    case codes.REPORT_LUNS:
      return reportLuns(cdb, data, luns);
    case codes.INQUIRY:
      return (cdb[1]! & 1) !== 0 ? failed(codes.INVALID_FIELD) : reply(data, absentInquiry(lun), cdb[4]!);
    case codes.REQUEST_SENSE:
      return reply(data, senseBytes(lun === 0 ? codes.NO_SENSE : noUnit, cdb), cdb[4]!);
    case codes.TEST_UNIT_READY:
      return lun === 0 ? GOOD : failed(noUnit);
    default:
      return failed(noUnit);
  }
}

/** Qualifier 3: no unit can be there; 1: LUN 0 speaks for the target (SPC-4 6.4.2). */
function absentInquiry(lun: number): Uint8Array {
  const facts = { isRemovable: false, vendor: 'LYREBIRD', product: 'TARGET', revision: '1.0' };
  const rest = { serial: '', deviceId: '', wwn: 0n };
  return standardInquiry({ ...facts, ...rest, type: lun === 0 ? 0x20 | codes.TYPE_UNKNOWN : 0x7f }).subarray(
    0,
    36,
  );
}
