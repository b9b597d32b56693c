/** `-fsdev local,id=…,path=…,security_model=…` and `-virtfs`, which adds the device. */
import type { ShareConfig } from '../core/share-backend.ts';
import { UserError } from '../util/errors.ts';
import { OptionList } from '../util/option-list.ts';

const MODELS = ['none', 'passthrough', 'mapped', 'mapped-xattr', 'mapped-file'];

export function parseFsdev(text: string): ShareConfig {
  const option = `-fsdev ${text}`;
  const options = new OptionList(text, option, 'fsdriver');
  const id = options.text('id');
  if (id === undefined) throw options.error('"id=" is missing');
  return finish(options, option, id);
}

/** The share and the text of the device that shows it; `count`: how many there are already. */
export function parseVirtfs(text: string, count: number): { share: ShareConfig; device: string } {
  const option = `-virtfs ${text}`;
  const options = new OptionList(text, option, 'fsdriver');
  const tag = options.text('mount_tag');
  if (tag === undefined) throw options.error('"mount_tag=" is missing');
  const id = options.text('id') ?? `fsdev-virtfs${count}`;
  const device = `virtio-9p-pci,fsdev=${id},mount_tag=${tag.replaceAll(',', ',,')}`;
  return { share: finish(options, option, id), device };
}

function finish(options: OptionList, option: string, id: string): ShareConfig {
  const kind = options.text('fsdriver');
  if (kind !== 'local') throw options.error(`fsdriver ${kind ?? ''} is not supported, only local`);
  const path = options.text('path');
  if (path === undefined || path === '') throw options.error('"path=" is missing');
  const securityModel = options.text('security_model') ?? options.text('security-model');
  if (securityModel === undefined || !MODELS.includes(securityModel))
    throw options.error(`security_model must be one of ${MODELS.join(', ')}`);
  const writeout = options.text('writeout');
  if (writeout !== undefined && writeout !== 'immediate')
    throw options.error(`writeout=${writeout} is not known`);
  const multidevs = options.text('multidevs');
  if (multidevs !== undefined && !['remap', 'forbid', 'warn'].includes(multidevs))
    throw options.error(`multidevs=${multidevs} is not known`);
  const share = {
    option,
    id,
    path,
    securityModel,
    isReadOnly: options.flag('readonly', false),
    fileMode: mode(options, 'fmode', 0o600),
    folderMode: mode(options, 'dmode', 0o700),
  };
  options.finish();
  return share;
}

/** Octal, as chmod takes it. */
function mode(options: OptionList, key: string, fallback: number): number {
  const text = options.text(key);
  if (text === undefined) return fallback;
  if (!/^[0-7]{1,4}$/.test(text)) throw new UserError('BadOption', `${key}=${text}: not octal permissions`);
  return Number.parseInt(text, 8);
}
