/** A SCSI CD-ROM drive: the packet commands of `mmc.ts` behind SPC-4's INQUIRY and unit attentions. */
import { BLOCK_OK, type BlockBackend } from '../../core/block-backend.ts';
import { defineState, type Stateful, stateful, struct } from '../../core/vmstate.ts';
import { CD_RAW_BYTES, CD_SECTOR_BYTES, MmcUnit, mmcFields, PACKET_BYTES, rawSector } from './mmc.ts';
import * as codes from './scsi-codes.ts';
import {
  attentionFields,
  failed,
  firstBytes,
  GOOD,
  type InquiryFacts,
  reply,
  type ScsiCompletion,
  type ScsiData,
  ScsiUnit,
} from './scsi-unit.ts';

const schema = defineState('scsi-cd', 1, { attention: struct(attentionFields), mmc: struct(mmcFields) });

export class ScsiCdrom extends ScsiUnit {
  readonly vmstate: Stateful;
  readonly unit: MmcUnit;
  protected readonly productPages = [];
  readonly #s;

  constructor(backend: BlockBackend, facts: Omit<InquiryFacts, 'type' | 'isRemovable'>) {
    const state = schema.create();
    super({ ...facts, type: codes.TYPE_CD, isRemovable: true }, state.attention);
    this.#s = state;
    this.unit = new MmcUnit(state.mmc, backend);
    backend.onMediumChanged = () => this.#mediumChanged();
    this.vmstate = stateful(schema, state, { postLoad: () => void (this.unit.s = state.mmc) });
    this.reset();
  }

  /** Attentions are kept here, not in the packet commands' part. */
  override reset(): void {
    this.unit.reset();
    this.#s.mmc.isAttentionPending = false;
    super.reset();
  }

  #mediumChanged(): void {
    this.unit.mediumChanged();
    this.#s.mmc.isAttentionPending = false;
    this.setAttention(codes.sense(codes.SENSE_UNIT_ATTENTION, codes.ASC_MEDIUM_MAY_HAVE_CHANGED));
    this.listener?.changed(codes.ASC_MEDIUM_MAY_HAVE_CHANGED, 0);
  }

  protected override productPage(): undefined {
    return undefined;
  }

  protected override command(cdb: Uint8Array, data: ScsiData, done: ScsiCompletion): void {
    if (cdb[0] === codes.MODE_SENSE_6) {
      this.#modeSense6(cdb, data, done);
      return;
    }
    const packet = new Uint8Array(PACKET_BYTES);
    packet.set(cdb.subarray(0, PACKET_BYTES));
    const result = this.unit.execute(packet);
    switch (result.kind) {
      case 'done':
        done(GOOD);
        break;
      case 'data':
        done(reply(data, result.bytes, result.bytes.length));
        break;
      case 'error':
        done(this.#failed());
        break;
      case 'read':
        this.#read(result, data, done);
        break;
    }
  }

  /** The sense data goes with the status: none is left for REQUEST SENSE. */
  #failed(): ReturnType<typeof failed> {
    const { senseKey, asc } = this.unit.s;
    this.unit.s.senseKey = codes.SENSE_NONE;
    this.unit.s.asc = 0;
    return failed(codes.sense(senseKey, asc));
  }

  /** The same pages as MODE SENSE (10), behind a shorter header (SPC-4 6.11). */
  #modeSense6(cdb: Uint8Array, data: ScsiData, done: ScsiCompletion): void {
    const long = new Uint8Array(PACKET_BYTES);
    long.set([codes.MODE_SENSE_10, cdb[1]!, cdb[2]!, cdb[3]!, 0, 0, 0, 0xff, 0xff]);
    const result = this.unit.execute(long);
    if (result.kind !== 'data') {
      done(this.#failed());
      return;
    }
    const { bytes } = result;
    const short = Uint8Array.of(bytes.length - 5, bytes[2]!, bytes[3]!, 0, ...bytes.subarray(8));
    done(reply(data, short, cdb[4]!));
  }

  #read(
    { lba, count, raw }: { readonly lba: number; readonly count: number; readonly raw: boolean },
    data: ScsiData,
    done: ScsiCompletion,
  ): void {
    const bytes = count * (raw ? CD_RAW_BYTES : CD_SECTOR_BYTES);
    if (bytes > data.inBytes) {
      done({ ...GOOD, isOverrun: true });
      return;
    }
    if (count === 0) {
      done(GOOD);
      return;
    }
    const user = raw ? [new Uint8Array(count * CD_SECTOR_BYTES)] : firstBytes(data.in, bytes);
    this.unit.backend.read(lba * CD_SECTOR_BYTES, user, (error) => {
      if (error !== BLOCK_OK) done(failed(codes.sense(codes.SENSE_MEDIUM_ERROR, codes.ASC_READ_ERROR)));
      else done(raw ? reply(data, withHeaders(lba, user[0]!, count), bytes) : { ...GOOD, bytes });
    });
  }
}

function withHeaders(lba: number, user: Uint8Array, count: number): Uint8Array {
  const out = new Uint8Array(count * CD_RAW_BYTES);
  for (let i = 0; i < count; i++) {
    const sector = user.subarray(i * CD_SECTOR_BYTES, (i + 1) * CD_SECTOR_BYTES);
    out.set(rawSector(lba + i, sector), i * CD_RAW_BYTES);
  }
  return out;
}
