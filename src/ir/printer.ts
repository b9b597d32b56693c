import { fieldA, fieldB, fieldC, fieldD, fieldX, opcodeAt, word2, word3 } from './fields.ts';
import { MEM_MMU_MASK, NO_SLOT, OP_INFO, type OpInfo } from './ops.ts';
import { hex64, type IrNames, immediateText, MEM_FLAG_NAMES } from './text.ts';

/** Name of a slot in the text form. */
export function slotText(slot: number, names: IrNames): string {
  if (slot === NO_SLOT) return '-';
  if (slot >= names.tempBase) {
    const offset = slot - names.tempBase;
    const lane = offset & 15;
    return `t${offset >>> 4}${lane === 0 ? '' : `+${lane}`}`;
  }
  return names.slotName?.(slot) ?? `s${slot.toString(16)}`;
}

function memText(words: Int32Array, p: number, names: IrNames): string[] {
  const disp = word2(words, p);
  const info = fieldB(words, p);
  const sum = disp === 0 ? '' : disp < 0 ? ` - 0x${(-disp).toString(16)}` : ` + 0x${disp.toString(16)}`;
  const flags = MEM_FLAG_NAMES.filter(([bit]) => (info & bit) !== 0).map(([, name]) => ` ${name}`);
  return [
    slotText(fieldD(words, p), names),
    `[${slotText(fieldA(words, p), names)}${sum}]`,
    `mmu${info & MEM_MMU_MASK}${flags.join('')}`,
  ];
}

function callText(words: Int32Array, p: number, names: IrNames): string[] {
  const index = fieldX(words, p);
  const slots = [fieldD(words, p), fieldA(words, p), fieldB(words, p), fieldC(words, p)];
  return [names.helpers?.[index]?.name ?? `#${index}`, ...slots.map((s) => slotText(s, names))];
}

function constantText(words: Int32Array, p: number): string {
  return [2, 3, 4, 5].map((i) => `0x${(words[p + i]! >>> 0).toString(16)}`).join(' ');
}

function operands(info: OpInfo, words: Int32Array, p: number, names: IrNames): string[] {
  const slot = (s: number): string => slotText(s, names);
  const d = slot(fieldD(words, p));
  const abc = [fieldA(words, p), fieldB(words, p), info.format === 'dabc' ? fieldC(words, p) : 0]
    .slice(0, info.args)
    .map(slot);
  switch (info.format) {
    case 'dab':
      return [d, ...abc];
    case 'dai':
      return [d, ...abc, immediateText(word2(words, p), word3(words, p))];
    case 'dabc':
      return info.base === 'lea'
        ? [d, ...abc, `${fieldX(words, p)}`, immediateText(word3(words, p), word3(words, p) >> 31)]
        : [d, ...abc];
    case 'mem':
      return memText(words, p, names);
    case 'dab128':
      return [d, ...abc, constantText(words, p)];
    case 'call':
      return callText(words, p, names);
    case 'goto':
      return [hex64(word2(words, p), word3(words, p))];
    case 'br':
      return [
        slot(fieldA(words, p)),
        hex64(word2(words, p), word3(words, p)),
        hex64(words[p + 4]!, words[p + 5]!),
      ];
    case 'end':
      return [];
  }
}

/** Whether the operation carries a restore word (in word 3). */
export function hasRestore(info: OpInfo): boolean {
  return (
    info.format === 'mem' || info.format === 'call' || (info.format === 'dabc' && info.effect === 'state')
  );
}

/** Text of the operation whose first word is `words[p]`. */
export function printOp(words: Int32Array, p: number, names: IrNames): string {
  const info = OP_INFO[opcodeAt(words, p)];
  if (info === undefined) return `?${opcodeAt(words, p)}`;
  const list = operands(info, words, p, names).join(', ');
  const restore = hasRestore(info) ? ` !${(word3(words, p) >>> 0).toString(16)}` : '';
  return `${info.name}${list === '' ? '' : ` ${list}`}${restore}`;
}

/** Text of the operations in the byte range [start, end), one a line. */
export function printIr(words: Int32Array, start: number, end: number, names: IrNames): string {
  const lines: string[] = [];
  for (let p = start >>> 2; p < end >>> 2; ) {
    lines.push(printOp(words, p, names));
    const info = OP_INFO[opcodeAt(words, p)];
    if (info === undefined) break;
    p += info.size >>> 2;
  }
  return lines.join('\n');
}
