/** What is known of a host, as `lyrebird host check` judges it. Collected by the host layer, or by a test. */

export interface DeviceFacts {
  /** Permission bits, as `stat` gives them. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** The group's name, if it has one. */
  readonly group: string | undefined;
  /** The present user may read and write it. */
  readonly accessible: boolean;
}

/** What asking `/dev/kvm` itself gave. */
export interface KvmProbe {
  /** The step that failed and its error number (`ERRNO`); undefined: all went well. */
  readonly failed:
    | { readonly step: 'open' | 'KVM_GET_API_VERSION' | 'KVM_CREATE_VM'; readonly errno: number }
    | undefined;
  readonly apiVersion: number | undefined;
  /** Values of KVM_CHECK_EXTENSION by the capability's name. */
  readonly capabilities: Readonly<Record<string, number>>;
}

export interface HostFacts {
  /** As Node.js names them: `linux`, `x64`. */
  readonly platform: string;
  readonly architecture: string;
  readonly kernelRelease: string;
  readonly cpuVendor: string;
  readonly cpuFlags: ReadonlySet<string>;
  /** Firmware's names of vendor and product (DMI). */
  readonly systemVendor: string;
  readonly productName: string;
  /** `/sys/hypervisor/type`. */
  readonly hypervisorType: string;
  readonly kernelCommandLine: string;
  /** Lines of the kernel's log that speak of virtualization; empty if it may not be read. */
  readonly kernelLog: readonly string[];
  /** IA32_FEATURE_CONTROL of processor 0; undefined if it may not be read. */
  readonly featureControl: bigint | undefined;
  /** Loaded or built-in modules. */
  readonly modules: ReadonlySet<string>;
  /** `parameters/nested` of the vendor module in `/sys/module`: Y, N, 1, 0. */
  readonly nested: string | undefined;
  /** Text of the kernel's configuration, if it is to be had, and where. */
  readonly kernelConfig: { readonly path: string; readonly text: string } | undefined;
  readonly userName: string;
  readonly userId: number;
  readonly groups: readonly string[];
  readonly device: DeviceFacts | undefined;
  /** Why koffi cannot be used; undefined: it can. */
  readonly koffiMissing: string | undefined;
  /** Undefined: could not be asked (no device, no koffi). */
  readonly probe: KvmProbe | undefined;
  readonly iommus: readonly string[];
  readonly hugePages: { readonly total: number; readonly transparent: string };
  /** Limits of the control group in bytes, processors and tasks; undefined: none. */
  readonly cgroup: {
    readonly memoryBytes: number | undefined;
    readonly cpus: number | undefined;
    readonly tasks: number | undefined;
  };
  readonly memoryBytes: number;
}
