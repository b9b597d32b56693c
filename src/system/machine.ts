/** A virtual machine on the machine thread: board, vCPU, clocks, character devices and the requests of the main thread. */
import type { Accelerator, RamRange, Vcpu, VcpuBus, VcpuExit } from '../accel/accelerator.ts';
import {
  type AcceleratorOptions,
  createAccelerator,
  createGuestMemory,
  type KvmHost,
} from '../accel/create-accelerator.ts';
import { SwitchAccelerator } from '../accel/switch-accelerator.ts';
import type { StartCompiler } from '../accel/tcg/compile-channel.ts';
import { LOG_GUEST_ERRORS, LOG_MMU, LOG_UNIMP, type TcgLog } from '../accel/tcg/log.ts';
import type { WasmModuleHandle } from '../accel/tcg/webassembly.ts';
import { audioBackends, audioStreamName } from '../audio/audio-backends.ts';
import { BlockChannel } from '../block/io/block-channel.ts';
import { CharChannel } from '../chardev/char-channel.ts';
import { RingCharBackend } from '../chardev/ring-backend.ts';
import { type Clock, OffsetWallClock, VirtualClock, type WallClock } from '../core/clock.ts';
import type { ShareBackend } from '../core/share-backend.ts';
import { type Timer, TimerQueue } from '../core/timer.ts';
import type { SavedState } from '../core/vmstate.ts';
import { KeySender } from '../hw/input/key-sender.ts';
import type { LocalApic } from '../hw/intc/apic.ts';
import { type DirectBoot, PcBoard, pcBusAccess } from '../machine/pc-board.ts';
import { displayBytes } from '../machine/pc-display.ts';
import { flashUnits } from '../machine/pc-flash.ts';
import { pcRamBufferBytes } from '../machine/pc-memory.ts';
import { ChannelNetBackend, NetDoorbell, NicChannel } from '../net/nic-channel.ts';
import type { TargetDescriptor } from '../target/target.ts';
import { type CpuModel, parseCpu } from '../target/x86/cpu-models.ts';
import { parseCpuOption } from '../target/x86/cpu-option.ts';
import { cpuTopologies } from '../target/x86/cpuid.ts';
import { encodingFeatures } from '../target/x86/features.ts';
import { createX86Target } from '../target/x86/x86-target.ts';
import { UserError } from '../util/errors.ts';
import { type ActionSteps, panicSteps, watchdogSteps } from './actions.ts';
import type { AcceleratorConfig, MachineConfig } from './config.ts';
import { ControlChannel } from './control-channel.ts';
import { Lifecycle, type LifecycleEvent } from './lifecycle.ts';
import { logMask } from './log-items.ts';
import { MachineDrives } from './machine-drives.ts';
import { type LoopClient, runMachineLoop } from './machine-loop.ts';
import { MachineRequestHandler } from './machine-requests.ts';
import type { FileImage, MachineMessage, MachineStart } from './protocol.ts';
import { QtestClock } from './qtest-clock.ts';
import { QtestServer } from './qtest-server.ts';
import { TickerChannel } from './ticker.ts';
import { applyInitialState } from './x86-registers.ts';

/** What the machine thread gets from the host it runs on. */
export interface MachineHost {
  /** To the main thread; needs no event loop on this side. */
  post(message: MachineMessage): void;
  /** Monotonic; the ticker reads the same clock. */
  readonly clock: Clock;
  utcNowMs(): number;
  /** Fills bytes that no other thread shares from the host's source of entropy; at most 64 KiB. */
  randomBytes(bytes: Uint8Array<ArrayBuffer>): void;
  writeLog(text: string): void;
  /** Absent: no `-accel kvm` here. */
  readonly kvm?: KvmHost;
  /** Starts a thread that calls `runCompiler(start)`; absent: regions are compiled on the machine thread. */
  readonly startCompiler?: StartCompiler;
}

/** The TSC counts nanoseconds of virtual time; CPUID leaves 15H and 40000010H say so. */
const TSC_HZ = 1e9;
/** Output without a newline reaches the main thread within this time. */
const FLUSH_NS = 1e6;
const END_TIMEOUT_MS = 1000;

export class Machine implements LoopClient {
  readonly config: MachineConfig;
  readonly board: PcBoard;
  readonly accelerator: SwitchAccelerator;
  readonly lifecycle: Lifecycle;
  readonly log: TcgLog;
  readonly keyboard: KeySender;
  readonly drives: MachineDrives;

  readonly #start: MachineStart;
  readonly #host: MachineHost;
  readonly #clock: VirtualClock | QtestClock;
  readonly #wallClock: WallClock;
  readonly #chardevs: ReadonlyMap<string, RingCharBackend>;
  readonly #qtest: RingCharBackend | undefined;
  readonly #timers: TimerQueue;
  readonly #control: ControlChannel;
  readonly #ticker: TickerChannel;
  readonly #acceleratorOptions: Omit<AcceleratorOptions, 'choices'>;
  /** Those that still have resources: the present one, and `tcg` once it was used. */
  readonly #accelerators = new Map<string, Accelerator>();
  readonly #serial: ReadonlyArray<RingCharBackend | undefined>;
  readonly #debugCon: RingCharBackend | undefined;
  readonly #block: BlockChannel | undefined;
  readonly #netdevs: readonly ChannelNetBackend[];
  readonly #flushTimer: Timer;
  readonly #requests: MachineRequestHandler;
  readonly #longMode: boolean;
  readonly #model: CpuModel;
  #target: TargetDescriptor | undefined;
  #monitorCpu = 0;
  #outputPending = false;
  #a20 = true;

  /** `UserError` for what cannot be built. */
  constructor(start: MachineStart, host: MachineHost, runtimeModule: () => WasmModuleHandle) {
    const { config } = start;
    this.config = config;
    this.#start = start;
    this.#host = host;
    this.#control = new ControlChannel(start.control);
    this.#ticker = new TickerChannel(start.ticker);
    const qtestClock = config.accelerators[0]?.kind === 'qtest' ? new QtestClock() : undefined;
    this.#clock = qtestClock ?? new VirtualClock(host.clock);
    this.#timers = new TimerQueue(this.#clock);
    this.#flushTimer = this.#timers.create(() => {});
    this.log = { mask: logMask(config.logItems), write: (text) => host.writeLog(text) };
    this.lifecycle = new Lifecycle(config, {
      reset: () => this.#reset(),
      setRunning: (running) => this.#setRunning(running),
      onEvent: (event) => this.#onEvent(event),
    });
    this.#serial = start.charDevices.serial.map((buffer) => this.#createBackend(buffer));
    this.#debugCon = this.#createBackend(start.charDevices.debugCon);
    this.#chardevs = new Map(
      start.charDevices.named.map(([id, buffer]) => [id, this.#createBackend(buffer)!] as const),
    );
    this.#qtest = this.#createBackend(start.charDevices.qtest);
    this.#wallClock = this.#createWallClock();

    const cpu = parseCpuOption(config.cpu);
    const model = parseCpu(cpu.model, config.longMode);
    this.#model = model;
    this.#longMode = model.features.has('lm');
    const roms = new Map(start.roms.map(({ name, bytes }) => [name, bytes]));
    const deviceBytes = displayBytes(config.vga, roms);
    const flash = flashUnits(
      (start.block?.drives ?? []).map(({ config, medium }) => ({
        ...config,
        sizeBytes: medium?.sizeBytes ?? 0,
      })),
    );
    const sizes = flash.length === 0 ? {} : { flashBytes: flash.map((unit) => unit.sizeBytes) };
    const topology = cpuTopologies(config.smp.cpus, config.smp.cores, config.smp.threads);
    this.#acceleratorOptions = {
      kvm: host.kvm,
      hostCpu: cpu.isHost,
      enforceCpu: cpu.enforce,
      hideKvm: cpu.hideKvm,
      doorbell: this.#control.doorbell,
      model,
      topology,
      memory: createGuestMemory(
        pcRamBufferBytes({
          ...sizes,
          memoryBytes: config.memoryBytes,
          firmware: start.firmware,
          deviceBytes,
        }),
      ),
      buses: topology.map((_, n) => this.#createBus(n)),
      log: this.log,
      nowNs: () => host.clock.nowNs(),
      runtimeModule,
      startCompiler: host.startCompiler,
    };
    this.accelerator = new SwitchAccelerator(
      createAccelerator({ ...this.#acceleratorOptions, choices: config.accelerators }),
    );
    this.#accelerators.set(this.accelerator.name, this.accelerator.now);
    const { accelerator } = this;
    if (start.block !== undefined) {
      this.#block = new BlockChannel(start.block.channel, accelerator.ram.buffer, {
        onStop: () => this.lifecycle.pause(),
      });
    }
    this.drives = this.#createDrives();
    this.#netdevs = this.#createNetdevs();
    this.board = new PcBoard({
      ...sizes,
      board: config.machine,
      memoryBytes: config.memoryBytes,
      firmware: start.firmware,
      ramBuffer: accelerator.ram,
      timers: this.#timers,
      wallClock: this.#wallClock,
      cpus: accelerator.vcpus.map((irqs, n) => ({
        irqs,
        apicId: topology[n]!.apicId,
        tsc: { nowTicks: () => this.#clock.nowNs() + irqs.tscOffset, frequencyHz: TSC_HZ },
      })),
      currentCpu: () => accelerator.current.index,
      acceleratedIrqs: () => accelerator.irqs,
      hasX2Apic: model.features.has('x2apic'),
      physicalBits: model.physicalBits,
      hasTscDeadline: model.features.has('tsc-deadline'),
      power: this.lifecycle,
      setA20: (open) => this.#setA20(open),
      serial: this.#serial,
      debugCon: config.debugCon && this.#debugCon && { ...config.debugCon, backend: this.#debugCon },
      debugExit: config.debugExit,
      pit: config.pit,
      testDevice: config.testDevice,
      hpet: config.hpet,
      smm: config.smm && accelerator.name === 'tcg',
      acpi: config.acpi,
      noGraphic: config.noGraphic,
      boot: config.boot,
      deviceBytes,
      vga: config.vga,
      roms,
      drives: this.drives.list,
      uuid: config.uuid,
      globals: config.globals,
      usb: config.usb,
      devices: config.devices,
      peripherals: {
        chardev: (id) => this.#chardevs.get(id),
        share: (id) => this.#share(id),
        audio: audioBackends(config.audiodevs, this.#timers, (id) => this.#chardevs.get(audioStreamName(id))),
        netdev: (id) => this.#findNetdev(id),
        notify: (name, data) => host.post({ kind: 'notify', name, data }),
        randomBytes: (bytes) => host.randomBytes(bytes),
        emptyDrive: (name, media) => this.drives.createEmpty(name, media),
        driveUnused: (drive) => this.drives.unused(drive),
        onPanic: () => this.#actOn(panicSteps(config.actions.panic)),
        onWatchdog: () => this.#actOn(watchdogSteps(config.actions.watchdog)),
        guestError: (text) => this.#logGuestError(text),
      },
    });
    const { kernel } = start;
    if (kernel !== undefined && this.board.hasFirmware) this.board.offerKernel(this.#directBoot(kernel));
    this.keyboard = new KeySender(this.board.input, this.#timers);
    this.#followMemory();
    accelerator.now.onEndOfInterrupt = (vector) => this.board.endOfInterrupt(vector);
    this.lifecycle.onRequest = () => accelerator.requestExit();
    this.#requests = new MachineRequestHandler(this, this.#serial);
    if (this.#qtest !== undefined) this.#startQtest(this.#qtest, qtestClock ?? new QtestClock());
  }

  get isRunning(): boolean {
    return this.lifecycle.isRunning;
  }

  get isEnded(): boolean {
    return this.lifecycle.isEnded;
  }

  /** The vCPU that the monitor's commands are about. */
  get monitorCpu(): Vcpu {
    return this.accelerator.vcpus[this.#monitorCpu]!;
  }

  /** `UserError` for a number that is none. */
  selectCpu(index: number): void {
    if (this.accelerator.vcpus[index] === undefined) throw new UserError('NoSuchCpu', `no CPU #${index}`);
    this.#monitorCpu = index;
  }

  /** Address line 20 is let through. */
  get a20(): boolean {
    return this.#a20;
  }

  /** For the monitor's `x/i`. */
  get disassembler(): Pick<TargetDescriptor, 'disassemble'> {
    return (this.#target ??= createX86Target(encodingFeatures(this.#model.features)));
  }

  /** Virtual time since the machine started. */
  nowNs(): number {
    return this.#clock.nowNs();
  }

  /** What the real-time clock shows, in milliseconds since 1970. */
  rtcNowMs(): number {
    return this.#wallClock.nowMs();
  }

  /** Runs until the machine has ended. */
  run(): void {
    this.lifecycle.start();
    this.#host.post({
      kind: 'started',
      kick: this.accelerator.kick,
      ram: this.accelerator.ram.buffer as SharedArrayBuffer,
      accelerator: this.accelerator.name,
      state: this.lifecycle.state,
    });
    this.#loadFlash();
    runMachineLoop(this, {
      accelerator: this.accelerator,
      timers: this.#timers,
      hostClock: this.#host.clock,
      doorbell: this.#control.doorbell,
      ticker: this.#ticker,
      isTimeManual: this.config.accelerators[0]?.kind === 'qtest',
    });
  }

  /** Firmware in flash is there before the first instruction. `UserError` if it cannot be read. */
  #loadFlash(): void {
    let failure: UserError | undefined;
    let isDone = false;
    this.board.flash.load((error) => {
      failure = error;
      isDone = true;
    });
    while (!isDone) {
      const rung = this.#control.doorbell.read();
      this.#block?.poll();
      if (!isDone) this.#control.doorbell.wait(rung, END_TIMEOUT_MS);
    }
    if (failure !== undefined) throw failure;
  }

  /** Ends what was started besides this thread. */
  dispose(): void {
    for (const accelerator of this.#accelerators.values()) accelerator.dispose();
  }

  /** `kernel-irqchip` as the command line has it. */
  get kvmIrqchip(): 'on' | 'split' | 'off' {
    const kvm = this.config.accelerators.find(({ kind }) => kind === 'kvm');
    return kvm?.kind === 'kvm' ? kvm.irqchip : 'on';
  }

  /** Goes on under another accelerator. `UserError` unless the machine stands still, and if the host cannot. */
  switchAccelerator(choice: AcceleratorConfig): void {
    if (this.isRunning) throw new UserError('MachineRunning', 'the machine must be stopped first');
    const before = this.accelerator.now;
    if (before.name === choice.kind) return;
    const known = this.#accelerators.get(choice.kind);
    const next = known ?? createAccelerator({ ...this.#acceleratorOptions, choices: [choice] });
    next.onEndOfInterrupt = (vector) => this.board.endOfInterrupt(vector);
    next.setMemoryMap(this.#ramRanges());
    next.setA20(this.#a20);
    const states = this.#irqStates();
    const moved = before.irqs?.save(states) ?? states;
    this.accelerator.exchange(next);
    this.#settleIrqs(moved);
    this.#accelerators.set(next.name, next);
    if (before.name === 'kvm') {
      this.#accelerators.delete(before.name);
      before.dispose();
    }
    this.#host.post({ kind: 'kick', kick: this.accelerator.kick, accelerator: this.accelerator.name });
  }

  /** States of the interrupt controllers and of the timer that may be the accelerator's instead of the board's. */
  #irqStates(): ReadonlyMap<string, SavedState> {
    const named = [...this.board.devices].filter(([name]) => /^(apic\d*|ioapic|i8259|i8254)$/.test(name));
    return new Map(named.map(([name, device]) => [name, device.vmstate.saveState()]));
  }

  /** Gives these states to whoever has the controllers now. What the board has in their place stands still. */
  #settleIrqs(states: ReadonlyMap<string, SavedState>): void {
    const { irqs } = this.accelerator;
    for (const [name, saved] of states) {
      const device = this.board.devices.get(name)!;
      const isBoards = irqs === undefined || (irqs.setIrq === undefined && !name.startsWith('apic'));
      if (isBoards) device.vmstate.loadState(saved);
      else device.reset();
    }
    if (irqs !== undefined) {
      irqs.load(states);
      return;
    }
    this.board.localApics.forEach((apic, n) => {
      this.accelerator.vcpus[n]!.setInterruptPending(apic.hasInterrupt());
    });
  }

  // --- LoopClient

  poll(): void {
    for (;;) {
      const message = this.#control.receive();
      if (message === undefined) break;
      this.#host.post(this.#requests.handle(message));
    }
    for (const backend of this.#serial) backend?.poll();
    this.#debugCon?.poll();
    this.#block?.poll();
    // What arrives while the machine stands still waits in the ring.
    if (this.isRunning) for (const netdev of this.#netdevs) netdev.poll();
    for (const backend of this.#chardevs.values()) backend.poll();
    this.#qtest?.poll();
  }

  settle(): void {
    this.lifecycle.settle();
    if (this.#outputPending) this.#postNews();
  }

  onShutdownCycle(): void {
    this.lifecycle.requestReset('triple-fault');
  }

  onFailure(message: string): void {
    this.log.write(`${this.accelerator.name}: ${message}; the machine is stopped\n`);
    this.lifecycle.pause();
  }

  onDebugExit(_exit: VcpuExit): void {
    this.lifecycle.pause();
  }

  // --- wiring

  #setRunning(running: boolean): void {
    if (running) {
      this.#clock.start();
      this.#block?.resume();
    } else this.#clock.stop();
    this.accelerator.setRunning?.(running);
  }

  #createDrives(): MachineDrives {
    const drives = new MachineDrives(this.#block, {
      notify: (name, data) => this.#host.post({ kind: 'notify', name, data }),
      release: (handle) => this.#host.post({ kind: 'release', handle }),
    });
    const { drives: opened = [], nodes = [] } = this.#start.block ?? {};
    for (const drive of opened) drives.add('drive', drive);
    for (const node of nodes) drives.add('node', node);
    return drives;
  }

  #share(id: string): ShareBackend | undefined {
    const opened = this.#start.block?.shares.find((share) => share.id === id);
    return opened && this.#block?.createShare(opened.handle);
  }

  #createNetdevs(): ChannelNetBackend[] {
    const { net } = this.#start;
    if (net === undefined) return [];
    const doorbell = new NetDoorbell(net.doorbell);
    return net.channels.map(([id, buffer]) => new ChannelNetBackend(id, new NicChannel(buffer), doorbell));
  }

  #findNetdev(id: string): ChannelNetBackend | 'in-use' | undefined {
    const found = this.#netdevs.find((netdev) => netdev.id === id);
    return found?.isConnected === true ? 'in-use' : found;
  }

  /** `set_link`. False: no such back end. */
  setLink(netdev: string, up: boolean): boolean {
    const found = this.#netdevs.find(({ id }) => id === netdev);
    found?.setLink(up);
    return found !== undefined;
  }

  #createBackend(buffer: SharedArrayBuffer | undefined): RingCharBackend | undefined {
    if (buffer === undefined) return undefined;
    return new RingCharBackend(new CharChannel(buffer), (urgent) => this.#onOutput(urgent));
  }

  #onOutput(urgent: boolean): void {
    if (urgent) {
      this.#postNews();
    } else if (!this.#outputPending) {
      this.#outputPending = true;
      this.#flushTimer.arm(this.#clock.nowNs() + FLUSH_NS);
    }
  }

  #postNews(): void {
    this.#outputPending = false;
    if (this.#control.setNews()) this.#host.post({ kind: 'news' });
  }

  #createWallClock(): WallClock {
    const { startMs, offsetMs, clock } = this.config.rtc;
    const source = clock === 'vm' ? this.#clock : this.#host.clock;
    if (startMs !== undefined) return new OffsetWallClock(source, startMs);
    if (clock === 'vm') return new OffsetWallClock(source, this.#host.utcNowMs() + offsetMs);
    return { nowMs: () => this.#host.utcNowMs() + offsetMs };
  }

  /** The board as a vCPU sees it. */
  #createBus(index: number): VcpuBus {
    let access: ReturnType<typeof pcBusAccess> | undefined;
    const bus = (): ReturnType<typeof pcBusAccess> => (access ??= pcBusAccess(this.board));
    const apic = (): LocalApic => this.board.localApics[index]!;
    return {
      readMmio: (address, size) => bus().readMmio(address, size),
      writeMmio: (address, size, value) => bus().writeMmio(address, size, value),
      writeRom: (ramOffset, size, value) => bus().writeRom(ramOffset, size, value),
      readPort: (port, size) => bus().readPort(port, size),
      writePort: (port, size, value) => bus().writePort(port, size, value),
      acknowledgeInterrupt: () => this.board.acknowledgeInterrupt(index),
      readApicMsr: (msr) => apic().readMsr(msr),
      writeApicMsr: (msr, lo, hi) => apic().writeMsr(msr, lo, hi),
      sendIpi: (apicId, icr) => apic().sendTo(apicId, icr),
      fpuError: () => this.board.fpuError(),
      setSmm: (active) => this.board.setSmm(active),
      readTpr: () => apic().getTpr(),
      writeTpr: (value) => apic().setTpr(value),
      readTsc: () => this.#clock.nowNs(),
    };
  }

  #startQtest(backend: RingCharBackend, clock: QtestClock): void {
    const { board } = this;
    new QtestServer(backend, {
      memory: board.memory,
      io: board.io,
      clock,
      timers: this.#timers,
      irqLines: (path, direction) => board.irqLines(path, direction),
      settle: () => this.lifecycle.settle(),
      log: (line) => {
        if (this.config.qtestLog) this.#host.writeLog(`${line}\n`);
      },
    });
  }

  #actOn({ events, act }: ActionSteps): void {
    for (const [name, data] of events) this.#host.post({ kind: 'notify', name, data });
    const { lifecycle } = this;
    if (act === 'pause') lifecycle.pause();
    else if (act === 'reset') lifecycle.requestReset('guest-reset');
    else if (act === 'nmi') this.accelerator.vcpus[0]!.nmi();
    else if (act === 'exit-failure') lifecycle.requestExit(1);
    else if (act !== 'none') lifecycle.requestShutdown(act);
  }

  #logGuestError(text: string): void {
    if ((this.log.mask & LOG_GUEST_ERRORS) !== 0) this.log.write(`guest error: ${text}\n`);
  }

  #setA20(open: boolean): void {
    if (open === this.#a20) return;
    this.#a20 = open;
    if ((this.log.mask & LOG_MMU) !== 0) this.log.write(`A20 update: a20=${open ? 1 : 0}\n`);
    this.accelerator.setA20(open);
  }

  /** Keeps the accelerator's idea of RAM and of what is translated in step with the board. */
  #followMemory(): void {
    const space = this.board.memory;
    const ram = (): RamRange[] => this.#ramRanges();
    const update = (): void => this.accelerator.setMemoryMap(ram());
    space.onChanged(update);
    update();
    const { accelerator } = this;
    if (accelerator.takeDirty !== undefined)
      space.ram.setDirtySource((mark) => accelerator.takeDirty?.(mark));
    space.ram.onDirtyClientsChanged((clients) => accelerator.setDirtyLogging?.(clients !== 0));
    space.ram.onWrite((ramOffset, sizeBytes) => this.accelerator.ramWritten(ramOffset, sizeBytes));
    space.onUnassigned = ({ addr, size, value }) => {
      if ((this.log.mask & LOG_GUEST_ERRORS) === 0) return;
      const what = value === undefined ? 'read of' : `write of 0x${value.toString(16)} to`;
      this.log.write(`guest error: ${what} ${size} bytes at unassigned address 0x${addr.toString(16)}\n`);
    };
    this.board.io.onUnassigned = ({ addr, size, value }) => {
      if ((this.log.mask & LOG_UNIMP) === 0) return;
      const what = value === undefined ? 'read of' : `write of 0x${value.toString(16)} to`;
      this.log.write(`unimplemented: ${what} ${size} bytes at port 0x${addr.toString(16)}\n`);
    };
  }

  #ramRanges(): RamRange[] {
    return this.board.memory.flatView.ranges
      .filter((range) => range.ramOffset >= 0)
      .map((range) => ({
        start: range.start,
        sizeBytes: range.end - range.start,
        ramOffset: range.ramOffset,
        readOnly: range.readOnly,
      }));
  }

  #reset(): void {
    for (const cpu of this.accelerator.vcpus) cpu.reset();
    this.board.reset();
    this.accelerator.irqs?.load(this.#irqStates());
    this.accelerator.setA20(this.#a20);
    const { kernel } = this.#start;
    if (kernel === undefined || this.board.hasFirmware) return;
    applyInitialState(this.accelerator.vcpus[0]!, this.board.boot(this.#directBoot(kernel)));
  }

  #directBoot(kernel: FileImage): DirectBoot {
    const { modules } = this.#start;
    return { kernel, modules, commandLine: this.config.commandLine, longMode: this.#longMode };
  }

  #onEvent(event: LifecycleEvent): void {
    if (event.kind === 'end') this.#drainOutput();
    this.#host.post({ kind: 'event', event, state: this.lifecycle.state });
  }

  /** The guest's last words: waits for the main thread to make room, as long as it does make some. */
  #drainOutput(): void {
    const backends = [...this.#serial, this.#debugCon, ...this.#chardevs.values(), this.#qtest];
    for (;;) {
      const rung = this.#control.doorbell.read();
      for (const backend of backends) backend?.poll();
      if (!backends.some((backend) => backend?.isBlocked === true)) return;
      this.#host.post({ kind: 'news' });
      if (!this.#control.doorbell.wait(rung, END_TIMEOUT_MS)) return;
    }
  }
}
