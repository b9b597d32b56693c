import type { IrBuilder } from '../../ir/builder.ts';
import { LOCAL_SLOT_LIMIT } from '../../runtime/x86/layout.ts';
import type { TargetDescriptor, TranslatedBlock, TranslationRequest } from '../target.ts';
import { Disassembler } from './disassembler.ts';
import type { FeatureSet } from './features.ts';
import { buildX86Tables } from './handlers.ts';
import { X86_HELPERS } from './helpers.ts';
import { slotName } from './slot-names.ts';
import { Translator } from './translator.ts';

/** The x86 front end for a CPU with the given encodings (see `encodingFeatures`); `pauseYields`: PAUSE is the end of a vCPU's turn. */
export function createX86Target(features: FeatureSet, pauseYields = false): TargetDescriptor {
  const { table, handlers } = buildX86Tables(features);
  const translator = new Translator(table, handlers, pauseYields);
  const disassembler = new Disassembler(table);
  return {
    name: 'x86',
    runtime: 'x86.wasm',
    helpers: X86_HELPERS,
    localSlotLimit: LOCAL_SLOT_LIMIT,
    slotName,
    translateBlock(request: TranslationRequest, ir: IrBuilder, result: TranslatedBlock): void {
      translator.translate(request, ir, result);
    },
    disassemble: (bytes, rip, flags) => disassembler.disassemble(bytes, rip, flags),
  };
}
