/** Control-protocol servers of a run: commands in, life-cycle events out. */
import { writeFile } from 'node:fs/promises';
import { errorReason } from '../host/node/error-reason.ts';
import type { MonitorContext } from '../monitor/commands.ts';
import type { QmpContext } from '../monitor/qmp/commands.ts';
import { lifecycleEvent, shutdownEvent } from '../monitor/qmp/events.ts';
import type { JsonObject } from '../monitor/qmp/json.ts';
import { QmpServer } from '../monitor/qmp/server.ts';
import { UserError } from '../util/errors.ts';
import type { OpenedMonitor } from './char-devices.ts';
import type { RunPlan } from './command-line.ts';

export interface ControlEvents {
  /** The emulator ends for a reason of the host's. */
  quit(reason: string): void;
}

export function startControl(
  monitor: MonitorContext & { quit(reason?: string): void },
  plan: RunPlan,
  monitors: readonly OpenedMonitor[],
): ControlEvents {
  const { machine } = monitor;
  const context: QmpContext = {
    ...monitor,
    quit: () => monitor.quit('host-qmp-quit'),
    objects: plan.objects,
    preconfig: { isActive: plan.preconfig },
    chardevs: plan.chardevs.map(({ id, spec }) => ({ id, kind: spec.kind })),
    writeFile: save,
  };
  const servers = monitors.map(({ stream, pretty }) => new QmpServer(stream, context, pretty));
  let over = false;
  const emit = (name: string, data: JsonObject | undefined): void => {
    if (over) return;
    if (name === 'SHUTDOWN' && !plan.config.noShutdown) over = true;
    const nowMs = performance.timeOrigin + performance.now();
    for (const server of servers) server.event(name, data, nowMs);
  };
  machine.onEvent((event) => {
    const named = lifecycleEvent(event);
    if (named !== undefined) emit(named.name, named.data);
  });
  machine.onNotice(({ name, data }) => emit(name, data as JsonObject));
  return {
    quit: (reason) => {
      const { name, data } = shutdownEvent(false, reason);
      emit(name, data);
    },
  };
}

async function save(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeFile(path, bytes);
  } catch (error) {
    throw new UserError('GenericError', `Could not open '${path}': ${errorReason(error)}`);
  }
}
