/** Runs a machine to its end, as a process: terminal, signals, exit status. */
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import type { NodeBlockThread } from '../host/node/block/block-threads.ts';
import { openDrives } from '../host/node/block/open-drives.ts';
import { readBootFiles } from '../host/node/boot-files.ts';
import { errorReason } from '../host/node/error-reason.ts';
import { NodeMachineThreads } from '../host/node/machine-threads.ts';
import type { MachineWorker } from '../host/node/machine-worker-start.ts';
import { nodeMonitorFiles } from '../host/node/monitor-files.ts';
import { type NodeNetThread, openNetwork } from '../host/node/net/net-thread.ts';
import { MachineClient, type MachineControl } from '../system/machine-client.ts';
import { UserError } from '../util/errors.ts';
import { DeviceOpener, type OpenedDevices } from './char-devices.ts';
import type { RunPlan } from './command-line.ts';
import type { ControlEvents } from './control.ts';
import { parseDriveOption } from './drive-options.ts';
import { version } from './help.ts';

const STDERR = 2;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Resolves with the exit status. `UserError` for what cannot be done. */
export async function run(plan: RunPlan, worker?: MachineWorker): Promise<number> {
  if (plan.config.isEmpty) return runNothing(plan);
  const logFd = openLog(plan.logFile);
  if (plan.pidFile !== undefined) writePidFile(plan.pidFile);
  // The machine thread loads its modules while files are read and devices opened here.
  const threads = new NodeMachineThreads(logFd, worker);
  let client: MachineClient | undefined;
  let block: NodeBlockThread | undefined;
  let net: NodeNetThread | undefined;
  let quitReason: string | undefined;
  let quit = (_reason?: string): void => {};
  const interrupted = new Promise<void>((resolve) => {
    quit = (reason = 'host-ui') => {
      quitReason ??= reason;
      resolve();
    };
  });
  for (const signal of SIGNALS) process.once(signal, () => quit('host-signal'));
  const opener = new DeviceOpener(plan, () => quit());
  try {
    const images = readBootFiles(plan);
    const devices = await opener.open();
    block = await openDrives(plan.block, true);
    net = await openNetwork(plan.net);
    client = new MachineClient(threads, { config: plan.config, ...images, ...padded(devices), block, net });
    const control = await startMonitors(client, plan, devices, quit);
    const status = await ended(client, interrupted);
    if (quitReason !== undefined) control?.quit(quitReason);
    return status;
  } finally {
    await (client === undefined ? threads.terminate() : client.dispose());
    await block?.close();
    await net?.close();
    await opener.close();
    if (plan.pidFile !== undefined) rmSync(plan.pidFile, { force: true });
    if (logFd !== STDERR) closeSync(logFd);
  }
}

/** `-machine none`: monitors and nothing to watch. */
async function runNothing(plan: RunPlan): Promise<number> {
  const { NoMachine } = await import('../system/no-machine.ts');
  let quit = (): void => {};
  const interrupted = new Promise<{ readonly status: number }>((resolve) => {
    quit = () => resolve({ status: 0 });
  });
  let quitReason: string | undefined;
  const onQuit = (reason = 'host-ui'): void => {
    quitReason ??= reason;
    quit();
  };
  for (const signal of SIGNALS) process.once(signal, () => onQuit('host-signal'));
  const opener = new DeviceOpener(plan, onQuit);
  if (plan.pidFile !== undefined) writePidFile(plan.pidFile);
  try {
    const devices = await opener.open();
    const block = await openDrives(plan.block, true);
    if (devices.qtest !== undefined) {
      const { serveEmptyQtest } = await import('../system/no-machine-qtest.ts');
      serveEmptyQtest(devices.qtest);
    }
    const machine = new NoMachine(plan.config, block);
    const control = await startMonitors(machine, plan, devices, onQuit);
    const { status } = await Promise.race([machine.ended, interrupted]);
    if (quitReason !== undefined) control?.quit(quitReason);
    await block?.close();
    return status;
  } finally {
    await opener.close();
    if (plan.pidFile !== undefined) rmSync(plan.pidFile, { force: true });
  }
}

async function ended(client: MachineClient, interrupted: Promise<void>): Promise<number> {
  const stopped = interrupted.then(() => ({ status: 0 }));
  return (await Promise.race([client.ended, stopped])).status;
}

function padded(devices: OpenedDevices): Pick<OpenedDevices, 'serial' | 'debugCon' | 'chardevs' | 'qtest'> {
  const { serial, debugCon, chardevs, qtest } = devices;
  return { serial, debugCon, chardevs, qtest };
}

async function startMonitors(
  machine: MachineControl,
  plan: RunPlan,
  devices: OpenedDevices,
  quit: (reason?: string) => void,
): Promise<ControlEvents | undefined> {
  const context = {
    machine,
    version: version().trim(),
    quit,
    files: nodeMonitorFiles,
    parseDrive: (text: string) => parseDriveOption(text),
  };
  const forPeople = devices.monitors.filter(({ mode }) => mode === 'readline');
  const forPrograms = devices.monitors.filter(({ mode }) => mode === 'control');
  if (forPeople.length > 0) {
    const { HumanMonitor } = await import('../monitor/human-monitor.ts');
    for (const { stream, own } of forPeople) new HumanMonitor(stream, context, own);
  }
  if (forPrograms.length === 0) return undefined;
  const { startControl } = await import('./control.ts');
  return startControl(context, plan, forPrograms);
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
