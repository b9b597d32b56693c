/** Builds sound cards. */
import type { AudioBackend } from '../core/audio.ts';
import { Ac97 } from '../hw/audio/ac97.ts';
import { HdaCodec, type HdaCodecOptions } from '../hw/audio/hda-codec.ts';
import { HDA_CODECS, IntelHda } from '../hw/audio/intel-hda.ts';
import { UserError } from '../util/errors.ts';
import type { BuildRequest } from './device-factories.ts';
import type { BuiltDevice, ChildBus } from './device-registry.ts';

const ICH6 = { deviceId: 0x2668, revision: 1 };
const ICH9 = { deviceId: 0x293e, revision: 3 };
const ANY_ADDRESS = 0xffffffff;

// Configuration defaults of pins (HD Audio 1.0a, 7.3.3.31): jacks at the rear in green, blue and pink; a speaker inside.
const LINE_OUT = 0x01014010;
const LINE_IN = 0x01813020;
const SPEAKER = 0x90170110;
const MICROPHONE = 0x01a19020;

const CODECS: Readonly<Record<string, HdaCodecOptions>> = {
  'hda-output': { deviceId: 0x11, output: LINE_OUT, input: undefined },
  'hda-duplex': { deviceId: 0x21, output: LINE_OUT, input: LINE_IN },
  'hda-micro': { deviceId: 0x31, output: SPEAKER, input: MICROPHONE },
};

function requireAudio({ context, text, error }: BuildRequest): AudioBackend {
  const id = text('audiodev');
  const backend = context.audio(id);
  if (backend === undefined) throw error(`audiodev '${id}' not found`);
  return backend;
}

export function buildAc97(request: BuildRequest): BuiltDevice {
  const device = new Ac97({ memory: request.context.memory, audio: requireAudio(request) });
  return { device, pci: device.pci };
}

export function buildHda({ context, type, spec, text }: BuildRequest): BuiltDevice {
  const { memory, msi, timers } = context;
  const options = { ...(type.name === 'intel-hda' ? ICH6 : ICH9), hasMsi: text('msi') !== 'off' };
  const device = new IntelHda({ memory, msi, clock: timers }, options);
  return { device, pci: device.pci, bus: codecLink(device, `${spec.id ?? 'hda'}.0`) };
}

function codecLink(controller: IntelHda, name: string): ChildBus {
  return {
    name,
    kind: 'HDA',
    attach: (part, properties, what) => {
      const asked = Number(properties['cad'] ?? ANY_ADDRESS);
      const address = asked === ANY_ADDRESS ? controller.freeAddress() : asked;
      if (address === undefined || address >= HDA_CODECS)
        throw new UserError('GenericError', `${what}: hda codecs have the addresses 0 to ${HDA_CODECS - 1}`);
      if (!controller.attach(address, part as HdaCodec))
        throw new UserError('GenericError', `${what}: the address ${address} is taken`);
    },
    detach: (part) => controller.detach(part as HdaCodec),
  };
}

export function buildHdaCodec(request: BuildRequest): BuiltDevice {
  const device = new HdaCodec(CODECS[request.type.name]!, requireAudio(request));
  return { device, part: device };
}
