"""Classifiers against each other: inference, training step and memory, in one run."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from ..compat.patching import temporarily
from ..ops.selective_scan import scan_name
from .benchmark_report import Measurement, Report, make_report
from .engines import is_runtime, start
from .latency import device_clock, quartiles, time_in_turn
from .memory import peak_bytes, saved_bytes
from .model_zoo import NUM_CLASSES, ModelSpec, Size, build_model

DTYPES = dict(fp32=torch.float32, fp16=torch.float16, bf16=torch.bfloat16)
MEMORY_FORMATS = dict(contiguous=torch.contiguous_format, channels_last=torch.channels_last)
MODES = ('infer', 'train')
DEFAULT_MODELS = ('vminet-xs:deploy', 'vminet-xs', 'reference-xs', 'starnet_s4')
FORMAT_ROUNDS = 3  # that choose the memory format where it is 'best'


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        device: ``'cpu'``, ``'cuda'`` or ``'cuda:N'``.
        dtype: A name of :data:`DTYPES`, of weights and images.
        amp: Keep the weights in float32 and run under autocast to ``dtype``.
        memory_format: A name of :data:`MEMORY_FORMATS`, or ``'best'``: for each model the faster.
        compile: None, or the mode of :func:`torch.compile`.
        batch: Images in a batch.
        sizes: Heights and widths in pixels.
        modes: Of :data:`MODES`.
        rounds: How often each model is timed.
        min_seconds: How long a timing lasts at least.
        threads: Of torch on the CPU.
        cpu_time: Count the processor time of all threads instead of the time that passes.
    """

    device: str = 'cpu'
    dtype: str = 'fp32'
    amp: bool = False
    memory_format: str = 'best'
    compile: str | None = None
    batch: int = 8
    sizes: tuple[Size, ...] = ((224, 224),)
    modes: tuple[str, ...] = ('infer',)
    rounds: int = 9
    min_seconds: float = 0.2
    threads: int = 1
    cpu_time: bool = False

    def __post_init__(self) -> None:
        numbers = [self.batch, self.rounds, self.threads, *(n for size in self.sizes for n in size)]
        if min(numbers) < 1 or self.min_seconds < 0:
            raise ValueError('batch, sizes, rounds and threads are positive numbers')
        if self.amp and self.dtype == 'fp32':
            raise ValueError('amp needs a dtype to cast to: fp16 or bf16')
        if torch.device(self.device).type == 'cuda' and not torch.cuda.is_available():
            raise ValueError(f'there is no {self.device} here; use the device cpu')
        if self.cpu_time and torch.device(self.device).type != 'cpu':
            raise ValueError('cpu_time is what the device cpu computes; leave it out')

    def autocast(self) -> AbstractContextManager:
        """The context that a model is run in."""
        kind = torch.device(self.device).type
        return torch.autocast(kind, DTYPES[self.dtype]) if self.amp else nullcontext()


class Case:
    """A model and a random batch to run it on.

    Args:
        spec (ModelSpec): Which model.
        mode (str): ``'infer'`` or ``'train'``.
        size (Size): Height and width of the images.
        memory_format (str): A name of :data:`MEMORY_FORMATS`.
        settings (Settings): The other settings.
    """

    def __init__(
        self, spec: ModelSpec, mode: str, size: Size, memory_format: str, settings: Settings
    ) -> None:
        self.spec, self.mode, self.size, self.memory_format = spec, mode, size, memory_format
        self.settings = settings
        dtype = torch.float32 if settings.amp else DTYPES[settings.dtype]
        target = dict(device=settings.device, dtype=dtype)
        layout = dict(memory_format=MEMORY_FORMATS[memory_format])
        self.model = build_model(spec, size).to(**target, **layout).train(mode == 'train')
        self.images = torch.randn(settings.batch, 3, *size, **target).contiguous(**layout)
        self.labels = torch.randint(NUM_CLASSES, (settings.batch,), device=settings.device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-4)
        self.run = self._runner()

    def _runner(self) -> nn.Module | Callable[[Tensor], Tensor]:
        """The model, run by the engine of its spec."""
        engine, settings = self.spec.engine, self.settings
        if is_runtime(engine):
            if torch.device(settings.device).type != 'cpu' or settings.dtype != 'fp32':
                raise ValueError(f'engine={engine} is timed on the device cpu in fp32 only')
            return start(engine, self.model, self.images, settings.threads)
        if engine == 'compile' or (engine is None and settings.compile):
            return torch.compile(self.model, mode=settings.compile or 'default', dynamic=False)
        return self.model

    def __call__(self) -> None:
        """Infer a batch, or do a training step on it."""
        if self.mode == 'infer':
            with torch.no_grad(), self.settings.autocast():
                self.run(self.images)
            return
        self.optimizer.zero_grad()
        self.loss().backward()
        self.optimizer.step()

    def loss(self) -> Tensor:
        """The loss of the batch."""
        with self.settings.autocast():
            return F.cross_entropy(self.run(self.images), self.labels)

    def scan(self) -> str | None:
        """What computes the selective scan, of a model that has one."""
        found = [m for m in self.model.modules() if hasattr(m, 'selective_scan')]
        return scan_name(found[0].selective_scan, self.settings.device) if found else None

    @property
    def counts_kept(self) -> bool:
        """Whether :meth:`memory` are those kept for the backward pass, and not the peak."""
        return self.mode == 'train' and self.images.device.type == 'cpu'

    def memory(self) -> int | None:
        """Bytes, see :class:`~vminet_mm.analysis.benchmark_report.Measurement`."""
        if is_runtime(self.spec.engine):
            return None
        self()  # what only the first call allocates (compiling, workspaces) is not counted
        self.optimizer.zero_grad()  # its gradients would be there before, and not count
        if self.counts_kept:
            return saved_bytes(self.loss, self.model)
        return peak_bytes(self, self.settings.device)


def run_benchmark(
    specs: Sequence[ModelSpec], settings: Settings, baseline: str | None = None
) -> Report:
    """Measure models against each other.

    A folded model is for inference and takes no part in training. All models, modes and sizes are
    timed in turn; a progress bar goes to stderr. Ratios refer to the baseline, by default the first
    ``reference-`` among the models, or the first of all.

    Raises:
        ValueError: If the models cannot be built, are to be timed in no mode, or the baseline is
            none of them.
    """
    specs = list({spec.text: spec for spec in specs}.values())
    names = [spec.text for spec in specs]
    references = [spec.text for spec in specs if spec.family == 'reference']
    baseline = baseline or (references or names)[0]
    if baseline not in names:
        raise ValueError(f'the baseline {baseline!r} is none of the models {", ".join(names)}')
    plan = [
        (spec, mode, size)
        for mode in settings.modes
        for size in settings.sizes
        for spec in specs
        if not (spec.only_infers and mode == 'train')
    ]
    if not plan:
        raise ValueError(
            'a model with :deploy, or of another engine than torch, is for inference; leave out '
            'deploy and engine to train'
        )
    compiles = settings.compile or any(spec.engine == 'compile' for spec in specs)
    with machine(settings, compiles):
        cases, memory = [], []
        for spec, mode, size in tqdm(plan, 'preparing', leave=False, disable=None):
            cases.append(_prepare(spec, mode, size, settings))
            memory.append(cases[-1].memory())
        times = time_with_progress(cases, settings)
    rows = [
        Measurement(
            model=case.spec.text,
            mode=case.mode,
            size=case.size,
            batch=settings.batch,
            memory_format=case.memory_format,
            seconds=seconds,
            memory_bytes=memory_bytes,
            params=sum(parameter.numel() for parameter in case.model.parameters()),
            top1=case.spec.top1,
            scan=case.scan(),
            kept=case.counts_kept,
        )
        for case, memory_bytes, seconds in zip(cases, memory, times, strict=True)
    ]
    return make_report(asdict(settings), rows, baseline)


def _prepare(spec: ModelSpec, mode: str, size: Size, settings: Settings) -> Case:
    """A case in the memory format of the settings, or in the faster of both."""
    if is_runtime(spec.engine):  # which orders the channels itself
        return Case(spec, mode, size, 'contiguous', settings)
    if settings.memory_format != 'best':
        return Case(spec, mode, size, settings.memory_format, settings)
    cases = [Case(spec, mode, size, name, settings) for name in MEMORY_FORMATS]
    clock = device_clock(settings.device, settings.cpu_time)
    times = time_in_turn(cases, FORMAT_ROUNDS, settings.min_seconds, clock)
    medians = [quartiles(seconds)[1] for seconds in times]
    return cases[medians.index(min(medians))]


def time_with_progress(
    functions: Sequence[Callable[[], object]], settings: Settings
) -> list[list[float]]:
    """:func:`~vminet_mm.analysis.latency.time_in_turn` with a progress bar on stderr."""
    clock = device_clock(settings.device, settings.cpu_time)
    with tqdm(total=settings.rounds + 1, desc='rounds', leave=False, disable=None) as bar:
        return time_in_turn(functions, settings.rounds, settings.min_seconds, clock, bar.update)


@contextmanager
def machine(settings: Settings, compiles: object = None) -> Iterator[None]:
    """Context manager that sets torch up for measuring and restores its settings afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    # models of a class share their code, of which each size and mode is a version; past the limit
    # torch.compile would quietly run them uncompiled
    limits = dict(cache_size_limit=1000, accumulated_cache_size_limit=1000)
    compiles = settings.compile if compiles is None else compiles
    compiler = torch._dynamo.config.patch(**limits) if compiles else nullcontext()
    try:
        with compiler, temporarily(torch.backends.cudnn, benchmark=True):
            yield
    finally:
        torch.set_num_threads(threads)
