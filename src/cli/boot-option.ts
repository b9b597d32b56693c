/** `-boot [order=]LETTERS[,once=LETTERS][,menu=on][,splash-time=MS][,reboot-timeout=MS][,strict=on]`. */
import { type BootOptions, DEFAULT_BOOT } from '../machine/firmware/boot-options.ts';
import { OptionList } from '../util/option-list.ts';

const MAX_MS = 65535;

/** `before`: what earlier `-boot` options said. */
export function parseBoot(text: string, before: BootOptions = DEFAULT_BOOT): BootOptions {
  const options = new OptionList(text, `-boot ${text}`, 'order');
  const letters = (key: string): string | undefined => {
    const value = options.text(key);
    if (value === undefined) return undefined;
    if (!/^[a-p]*$/.test(value) || new Set(value).size !== value.length) {
      throw options.error(
        `"${key}=${value}": letters a to p, each once (a, b floppy, c disk, d CD-ROM, n network)`,
      );
    }
    return value;
  };
  const milliseconds = (key: string): number | undefined => {
    if (!options.has(key)) return undefined;
    const value = options.number(key, 0);
    if (value > MAX_MS) throw options.error(`"${key}=${value}" is more than ${MAX_MS}`);
    return value;
  };
  const boot: BootOptions = {
    checksFloppy: before.checksFloppy,
    order: letters('order') ?? before.order,
    once: letters('once') ?? before.once,
    menu: options.flag('menu', before.menu),
    splashTimeMs: milliseconds('splash-time') ?? before.splashTimeMs,
    rebootTimeoutMs: rebootTimeout(options, milliseconds) ?? before.rebootTimeoutMs,
    strict: options.flag('strict', before.strict),
  };
  options.finish();
  return boot;
}

/** −1: firmware does not start again. */
function rebootTimeout(
  options: OptionList,
  milliseconds: (key: string) => number | undefined,
): number | undefined {
  if (options.peek('reboot-timeout') !== '-1') return milliseconds('reboot-timeout');
  options.text('reboot-timeout');
  return -1;
}
