/** Runs a machine to its end, as a process: terminal, signals, exit status. */
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import type { NodeBlockThread } from '../host/node/block/block-threads.ts';
import { openDrives } from '../host/node/block/open-drives.ts';
import { readBootFiles } from '../host/node/boot-files.ts';
import { errorReason } from '../host/node/error-reason.ts';
import { NodeMachineThreads } from '../host/node/machine-threads.ts';
import { MachineClient } from '../system/machine-client.ts';
import { UserError } from '../util/errors.ts';
import { DeviceOpener, type OpenedDevices } from './char-devices.ts';
import type { RunPlan } from './command-line.ts';
import { version } from './help.ts';

const STDERR = 2;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Resolves with the exit status. `UserError` for what cannot be done. */
export async function run(plan: RunPlan): Promise<number> {
  const logFd = openLog(plan.logFile);
  if (plan.pidFile !== undefined) writePidFile(plan.pidFile);
  // The machine thread loads its modules while files are read and devices opened here.
  const threads = new NodeMachineThreads(logFd);
  let client: MachineClient | undefined;
  let block: NodeBlockThread | undefined;
  let quit = (): void => {};
  const interrupted = new Promise<void>((resolve) => {
    quit = resolve;
  });
  for (const signal of SIGNALS) process.once(signal, () => quit());
  const opener = new DeviceOpener(plan, () => quit());
  try {
    const images = readBootFiles(plan);
    const devices = await opener.open();
    block = await openDrives(plan.block);
    client = new MachineClient(threads, { config: plan.config, ...images, ...padded(devices), block });
    if (devices.monitors.length > 0) await startMonitors(client, devices, quit);
    return await ended(client, interrupted);
  } finally {
    await (client === undefined ? threads.terminate() : client.dispose());
    await block?.close();
    await opener.close();
    if (plan.pidFile !== undefined) rmSync(plan.pidFile, { force: true });
    if (logFd !== STDERR) closeSync(logFd);
  }
}

async function ended(client: MachineClient, interrupted: Promise<void>): Promise<number> {
  const stopped = interrupted.then(() => ({ status: 0 }));
  return (await Promise.race([client.ended, stopped])).status;
}

function padded(devices: OpenedDevices): Pick<OpenedDevices, 'serial' | 'debugCon'> {
  return { serial: devices.serial, debugCon: devices.debugCon };
}

async function startMonitors(
  machine: MachineClient,
  devices: OpenedDevices,
  quit: () => void,
): Promise<void> {
  const { HumanMonitor } = await import('../monitor/human-monitor.ts');
  const context = { machine, version: version().trim(), quit };
  for (const { stream, own } of devices.monitors) new HumanMonitor(stream, context, own);
}

function openLog(path: string | undefined): number {
  if (path === undefined) return STDERR;
  try {
    return openSync(path, 'w');
  } catch (error) {
    throw new UserError('FileOpenFailed', `-D ${path}: ${errorReason(error)}`);
  }
}

function writePidFile(path: string): void {
  try {
    writeFileSync(path, `${process.pid}\n`);
  } catch (error) {
    throw new UserError('FileOpenFailed', `-pidfile ${path}: ${errorReason(error)}`);
  }
}
