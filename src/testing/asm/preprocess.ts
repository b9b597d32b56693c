import { AsmError } from './lexer.ts';

/** One line of source after macros, with the number of the line it came from. */
export interface SourceLine {
  readonly text: string;
  readonly line: number;
}

interface Macro {
  readonly params: number;
  readonly body: readonly SourceLine[];
}

const MAX_DEPTH = 50;

/** Replaces whole identifiers outside quotes. */
function substitute(text: string, names: ReadonlyMap<string, string>): string {
  if (names.size === 0) return text;
  return text.replace(
    /"[^"]*"|'[^']*'|`[^`]*`|;.*|[A-Za-z_.?@][\w.$#@~?]*/g,
    (word) => names.get(word) ?? word,
  );
}

function splitArguments(text: string): string[] {
  const found = text.match(/(?:\[[^\]]*\]|\([^)]*\)|"[^"]*"|'[^']*'|`[^`]*`|[^,])+/g) ?? [];
  return found.map((part) => part.trim()).filter((part) => part !== '');
}

/** Expands `%define`, `%macro`/`%endmacro` (with `%1`… and `%%local`) and `%rep`/`%endrep`. */
export class Preprocessor {
  readonly #defines = new Map<string, string>();
  readonly #macros = new Map<string, Macro>();
  #unique = 0;

  expand(source: string): SourceLine[] {
    return this.#lines(
      source.split('\n').map((text, i) => ({ text, line: i + 1 })),
      0,
    );
  }

  #lines(lines: readonly SourceLine[], depth: number): SourceLine[] {
    const first = lines[0];
    if (depth > MAX_DEPTH) throw new AsmError('macros nested too deeply', first?.line ?? 0);
    const out: SourceLine[] = [];
    for (let i = 0; i < lines.length; i++) {
      const current = lines[i]!;
      const text = current.text.trim();
      const directive = /^%(\w+)/.exec(text)?.[1];
      if (directive === 'define') this.#define(text, current.line);
      else if (directive === 'macro' || directive === 'rep') {
        const end = this.#blockEnd(lines, i, directive);
        const body = lines.slice(i + 1, end);
        if (directive === 'macro') this.#macro(text, body, current.line);
        else out.push(...this.#repeat(text, body, depth, current.line));
        i = end;
      } else if (directive) throw new AsmError(`unknown directive %${directive}`, current.line);
      else out.push(...this.#plain(current, depth));
    }
    return out;
  }

  #define(text: string, line: number): void {
    const match = /^%define\s+([\w.]+)\s*(.*?)\s*(;.*)?$/.exec(text);
    if (!match) throw new AsmError('bad %define', line);
    this.#defines.set(match[1]!, substitute(match[2]!, this.#defines));
  }

  #blockEnd(lines: readonly SourceLine[], start: number, kind: string): number {
    let open = 0;
    for (let i = start; i < lines.length; i++) {
      const text = lines[i]!.text.trim();
      if (text.startsWith(`%${kind}`)) open++;
      if (text.startsWith(`%end${kind}`) && --open === 0) return i;
    }
    throw new AsmError(`%${kind} without %end${kind}`, lines[start]!.line);
  }

  #macro(text: string, body: readonly SourceLine[], line: number): void {
    const match = /^%macro\s+(\w+)\s+(\d+)/.exec(text);
    if (!match) throw new AsmError('bad %macro: a name and a number of parameters belong there', line);
    this.#macros.set(match[1]!, { params: Number(match[2]), body });
  }

  #repeat(text: string, body: readonly SourceLine[], depth: number, line: number): SourceLine[] {
    const count = Number(substitute(text.slice(4).replace(/;.*/, '').trim(), this.#defines));
    if (!Number.isInteger(count)) throw new AsmError('bad %rep', line);
    return Array.from({ length: count }, () => this.#lines(body, depth + 1)).flat();
  }

  #plain({ text, line }: SourceLine, depth: number): SourceLine[] {
    const replaced = substitute(text, this.#defines);
    const call = /^\s*(?:([\w.]+:)\s*)?(\w+)\b\s*(.*?)\s*(;.*)?$/.exec(replaced);
    const macro = call ? this.#macros.get(call[2]!) : undefined;
    if (!call || !macro) return [{ text: replaced, line }];
    const args = splitArguments(call[3]!);
    if (args.length !== macro.params)
      throw new AsmError(`${call[2]} takes ${macro.params} arguments, not ${args.length}`, line);
    const id = ++this.#unique;
    const body = macro.body.map((inner) => ({
      text: inner.text
        .replace(/%%(\w+)/g, `..@${id}.$1`)
        .replace(/%(\d+)/g, (whole, n: string) => args[Number(n) - 1] ?? whole),
      line,
    }));
    const label = call[1] ? [{ text: call[1], line }] : [];
    return [...label, ...this.#lines(body, depth + 1)];
  }
}
