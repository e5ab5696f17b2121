"""What can be told of the compiled kernels (src/arch) from their disassembly.

    disassembly.py PROGRAM

PROGRAM is a release build that has them. Each kernel is followed along all its branches. What is
read from memory is secret, be it key, plaintext or neither. Public are a kernel's arguments, which
are addresses and lengths; constants; what stands in a `Data`, two addresses and a length; and what
is computed from public values alone, in registers and in its place on the stack. No jump may
depend on a secret, nor an address, a mask of a load or store, a division; nothing is gathered or
scattered; nothing is called but panics and parts of kernels, which are followed too. An
instruction that is not known here, or not reached, is an error.

What this cannot see: an access to the stack beyond an array, of eight vectors at most; a part that
writes anything but vectors where it is told; a `Data` that is not where the fifth argument is; how
long an instruction takes that is no division; what the processor does ahead of time; what is no
kernel, and all that is no x86-64.
"""
import re
import sys

from x86 import NOTHING, REGISTERS, Memory, Program

# Where kernels are, and their names.
HERE = "libkms::arch::"
KERNEL = re.compile(rf"<{HERE}lanes::x86::\w+::(\w+) as {HERE}engine::Kernels>::(\w+)::kernel$")
# Those of an engine, and the bytes of its vectors.
ENGINES = {"Aesni": 16, "Vaes256": 32, "Vaes512": 64}
# The argument that is a `Data`, if there is one. Whoever adds a kernel says it here.
KERNELS = {"set": None, "seal": "r8", "open": "r8", "prepare": None, "derive": None,
           "derive_one": None, "set_many": None,
           "set_cbc": None, "seal_cbc": None, "open_cbc": None}
# Of the library's tests: they leak, and that must be told.
LEAKING = re.compile(rf"{HERE}gcm::leaking::(\w+)::kernel$")
LEAKS = ("by_branch", "by_address")
# Where a bound is passed: they do not return.
PANIC = re.compile(r"core::(panicking|slice::index|option|result)::")
# Parts of kernels that may be called.
PART = re.compile(rf"<{HERE}lanes::x86::\w+::\w+ as {HERE}lanes::Lanes>::(load|store)_part::body$")
# Of all kernels together: 246,582 were measured, and a fifth more is worth a look.
MOST_BYTES = 262_000

# Values; None is a secret. Others are tuples: ("stack", which, offset), ("array", which, offset of
# its beginning), ("constant", address), and of a jump table ("entry", table) and ("target", table).
PUBLIC, DATA = "public", "data"
LOWEST = -1 << 20
ARGUMENTS = ("rdi", "rsi", "rdx", "rcx", "r8", "r9")
KEPT_BY_CALLS = {"rbx", "rbp", "rsp", "r12", "r13", "r14", "r15"}

MOVES = {"mov", "movabs", "movzx", "movsx", "movsxd"}
# The first operand is read as well, or it is not.
SUMS = set("add sub and or xor shl shr sar rol ror imul mul not neg bswap shld shrd adc sbb inc dec".split())
RESULTS = set("shlx shrx sarx rorx bzhi andn blsr lzcnt tzcnt popcnt bsf bsr".split())
NO_FLAGS = {"shlx", "shrx", "sarx", "rorx", "not", "bswap"}
SHIFTS = {"shl", "shr", "sar", "rol", "ror", "shld", "shrd"}
COMPARISONS = {"cmp", "test", "bt"}
# Of vectors: those to the flags; those that read or write where a vector says, or that nobody
# looked at yet; moves of a whole vector; those that read what they write.
TO_FLAGS = re.compile(r"v?(u?comis[sd]|p?test(p[sd])?)$|k(or)?test")
REFUSED = re.compile(r"gather|scatter|maskmov|pcmp[ie]str|compress|expand")
WHOLE = re.compile(r"vmov[dq]$|vmov(dq|[au]p)|kmov")
ADDS_TO = re.compile(r"ternlog|perm[it]2|vfn?m|vpdp|madd52|sh[lr]dv")


def plain(*values):
    """A secret if one of them is; of addresses no more is known."""
    return PUBLIC if all(values) else None


def joined(a, b):
    """What may be one or the other."""
    if a == b or not (a and b):
        return a if a == b else None
    of_stack = [v for v in (a, b) if v[0] in ("stack", "array")]
    if not of_stack:
        return PUBLIC
    if len(of_stack) < 2 or a[1] != b[1] or a[0] == "array" and b[2] < a[2]:
        return ("array", of_stack[0][1], LOWEST)
    return ("array", a[1], min(a[2], b[2]))


def know(state, place, value):
    if value:
        state[place] = value
    else:
        state.pop(place, None)


class Function:
    """A kernel, or a part of one: `found` has what is wrong in it.

    A state is what is known of registers ("rax", "low rax" of its lowest byte), of the "flags", and
    of bytes of the stack (which, offset). `vectors` are the bytes that hold vectors anywhere.
    """

    def __init__(self, program, address, state, vectors=()):
        self.program, self.name, self.vectors = program, program.names[address], set(vectors)
        self.code = {i.address: i for i in program.code[address]}
        self.next = dict(zip(self.code, list(self.code)[1:]))
        self.found, self.calls, reached = {}, {}, set()
        self.before, self.waiting = {address: state | {"rsp": ("stack", address, 0)}}, [address]
        while self.waiting:
            at = self.waiting.pop()
            state = dict(self.before[at])
            while at is not None:
                reached.add(at)
                self.at = self.code[at]
                at = self.next.get(at) if self.step(self.at, state) else None
                if at in self.before:
                    self.go(at, state)
                    break
        for i in self.code.values():
            if i.address not in reached and i.name not in NOTHING:
                self.at = i
                self.tell("is not reached by what is followed here")

    def tell(self, why):
        self.found[self.at.address] = f"{self.name}: {self.at.address:x}: {self.at.text}: {why}"

    def go(self, to, state):
        """Follows `to` with what is known in all states that come there."""
        if to not in self.code:
            self.tell("goes out of the function")
            return
        new, old = state, self.before.get(to)
        if old is not None:
            new = {k: v for k in old.keys() & state.keys() if (v := joined(old[k], state[k]))}
        if new != old:
            self.before[to] = dict(new)
            self.waiting.append(to)

    def step(self, i, state):
        """Whether it goes on behind the instruction."""
        for operand in i.operands:
            if isinstance(operand, Memory) and i.name != "lea":
                if not all(self.register(r, state) for r in operand.registers):
                    self.tell("an address depends on a secret")
                if any(mask not in state for mask in i.masks):
                    self.tell("a mask of an access to memory is secret")
        if i.name in ("ret", "ud2", "int3", "jmp"):
            if i.name == "jmp":
                self.jump(i.operands[0], state)
            return False
        if i.name == "call":
            return self.call(i.operands[0], state)
        if i.name.startswith("j"):
            if "flags" not in state or "cxz" in i.name:
                self.tell("a branch depends on a secret")
            self.go(i.operands[0], state)
        elif i.name.startswith("prefetch"):
            # Its address was looked at; nothing is read.
            pass
        elif any(isinstance(o, str) and REGISTERS[o][0][0] in "vk" for o in i.operands):
            self.vector(i, state)
        elif i.name not in NOTHING:
            self.scalar(i, state)
        return True

    def scalar(self, i, state):
        to, values = (i.operands or [None])[0], [self.value(o, state) for o in i.operands]
        if i.name in MOVES:
            value = values[1]
            if i.name == "movsxd" and value and isinstance(i.operands[1], Memory) and i.operands[1].base:
                table = self.register(i.operands[1].base, state)
                value = ("entry", table[1]) if table[0] == "constant" else PUBLIC
            self.put(to, value if i.name in ("mov", "movabs", "movsxd") else plain(value), state)
        elif i.name == "lea":
            self.put(to, self.address(i.operands[1], state), state)
        elif i.name in ("push", "pop"):
            _, which, offset = state["rsp"]
            state["rsp"] = ("stack", which, offset + (8 if i.name == "pop" else -8))
            if i.name == "pop":
                self.put(to, self.read("stack", which, offset, 8, state), state)
            else:
                self.write("stack", which, offset - 8, 8, values[0], state)
        elif i.name.startswith("cmov"):
            self.put(to, joined(*values) if "flags" in state else None, state)
        elif i.name.startswith("set"):
            self.put(to, state.get("flags"), state)
        elif i.name in COMPARISONS:
            know(state, "flags", plain(*values))
        elif i.name == "xchg":
            self.put(to, values[1], state)
            self.put(i.operands[1], values[0], state)
        elif i.name in SUMS or i.name in RESULTS:
            self.sum(i, values, state)
        elif i.name in ("div", "idiv"):
            if not plain(*values, state.get("rax"), state.get("rdx")):
                self.tell("a division of or by a secret")
            know(state, "flags", None)
        else:
            self.tell("is not known here")

    def sum(self, i, values, state):
        name, operands, to = i.name, i.operands, i.operands[0]
        old = [state.get("flags")]
        carried = old if name in ("adc", "sbb") else []
        if len(operands) > 1 and operands[0] == operands[1] and name in ("xor", "sub", "sbb"):
            value = plain(*carried)
        elif name in ("add", "sub") and all(values) and self.size(operands[0]) == 8:
            by = operands[1] if isinstance(operands[1], int) else None
            by = by - (by >> 63 << 64) if by is not None else None
            value = self.moved(values[0], -by if by and name == "sub" else by, values[1])
        elif name == "and" and operands[0] == "rsp":
            value = ("stack", "aligned", 0)
        elif name in RESULTS or name == "imul" and len(operands) == 3:
            value = plain(*values[1:])
        elif name == "mul" or len(operands) == 1 and name == "imul":
            value, to = plain(*values, state.get("rax")), "rax"
            self.put("rdx", value, state)
        else:
            value = plain(*values, *carried)
        self.put(to, value, state)
        if name not in NO_FLAGS:
            # Some leave a few flags as they were, or all of them where a count is zero.
            by_register = name in SHIFTS and not isinstance(operands[-1], int)
            keeps = by_register or name in ("inc", "dec", "rol", "ror")
            know(state, "flags", plain(value, *(old if keeps else [])))

    def vector(self, i, state):
        to, *more = i.operands
        if REFUSED.search(i.name):
            self.tell("reads or writes where a vector says, or is not known here")
        sources = [self.value(o, state) for o in more] + [state.get(mask) for mask in i.masks]
        if TO_FLAGS.match(i.name):
            know(state, "flags", plain(self.value(to, state), *sources))
            return
        is_zero = len(more) == 2 and more[0] == more[1] and re.match(r"vp?xor|kxor", i.name)
        is_whole = WHOLE.match(i.name) or len(more) > 1 and i.name[0] in "vk" and not ADDS_TO.search(i.name)
        kept = [] if is_whole and not i.merges else [self.value(to, state)]
        self.put(to, PUBLIC if is_zero else plain(*sources, *kept), state)

    def jump(self, to, state):
        value = to if isinstance(to, int) else self.value(to, state)
        if isinstance(value, int):
            self.go(value, state)
        elif value is None:
            self.tell("a jump depends on a secret")
        elif value[0] != "target":
            self.tell("goes nobody knows where")
        else:
            for target in self.program.table(value[1], self.code):
                self.go(target, state)

    def call(self, to, state):
        to = to if isinstance(to, int) else self.program.pointers.get(getattr(to, "address", None))
        name = self.program.names.get(to, "nobody knows what")
        if PANIC.match(name):
            return False
        if not PART.search(name):
            self.tell(f"calls {name}")
            return True
        width = next((n for engine, n in ENGINES.items() if engine in name), 64)
        for value in [v for r in ARGUMENTS if (v := state.get(r))]:
            if value[0] in ("stack", "array"):
                self.write(*value, width, None, state)
        arguments = {r: plain(state.get(r)) for r in ARGUMENTS}
        arguments |= {f"low {r}": plain(state.get(f"low {r}")) for r in ARGUMENTS}
        others = self.calls.get(to, arguments)
        self.calls[to] = {r: v for r, v in arguments.items() if v and others.get(r)}
        for known in [k for k in state if isinstance(k, str) and k.removeprefix("low ") not in KEPT_BY_CALLS]:
            del state[known]
        return True

    def register(self, operand, state):
        register, size = REGISTERS[operand]
        return state.get("low " + register if size == 1 and not operand.endswith("h") else register)

    def size(self, operand):
        return operand.size if isinstance(operand, Memory) else REGISTERS[operand][1]

    def value(self, operand, state):
        if isinstance(operand, int):
            return PUBLIC
        if isinstance(operand, str):
            return self.register(operand, state)
        address = self.address(operand, state)
        if address and address[0] in ("stack", "array"):
            return self.read(*address, operand.size, state)
        return PUBLIC if address == DATA or address and address[0] == "constant" else None

    def put(self, operand, value, state):
        if isinstance(operand, Memory):
            address = self.address(operand, state)
            if address and address[0] in ("stack", "array"):
                self.write(*address, operand.size, value, state)
            elif address == DATA:
                self.tell("writes to a Data")
            return
        register, size = REGISTERS[operand]
        if size <= 8 and not operand.endswith("h"):
            know(state, "low " + register, plain(value))
        if size < 4:
            value = plain(value, state.get(register))
        know(state, register, value if size == 8 else plain(value))

    def address(self, memory, state):
        if memory.address is not None:
            return ("constant", memory.address)
        base = self.register(memory.base, state) if memory.base else PUBLIC
        index = self.register(memory.index, state) if memory.index else PUBLIC
        if not (base and index):
            return None
        return self.moved(base, None if memory.index else memory.offset, index, memory.offset)

    def moved(self, address, by, other, offset=0):
        """An address and `by`, or a number that is not known, and at least `offset`."""
        for a, b in ((address, other), (other, address)):
            if a[0] == "constant":
                is_target = b[0] == "entry" and b[1] == a[1]
                return ("target", a[1]) if is_target else ("constant", a[1] if by == 0 else None)
            if a[0] == "stack" and by is not None:
                return ("stack", a[1], a[2] + by)
            if a[0] in ("stack", "array"):
                return ("array", a[1], max(LOWEST, a[2] + (offset if by is None else by)))
            if a == DATA and by is not None:
                return DATA
        return PUBLIC

    def read(self, kind, which, offset, size, state):
        if kind == "array":
            return None
        self.vectors |= {(which, offset + n) for n in range(size)} if size > 8 else set()
        values = {state.get((which, offset + n)) for n in range(size)}
        return values.pop() if len(values) == 1 and size == 8 else plain(*values)

    def write(self, kind, which, offset, size, value, state):
        if kind == "stack":
            self.vectors |= {(which, offset + n) for n in range(size)} if size > 8 else set()
            for n in range(size):
                know(state, (which, offset + n), value)
        elif value is None:
            # Somewhere in an array: of vectors, or of what may be anything.
            for at in [k for k in state if k[0] == which and isinstance(k, tuple)]:
                if size <= 8 or offset == LOWEST or 0 <= at[1] - offset < 8 * size and at in self.vectors:
                    del state[at]


def findings(program, address, data=None):
    """What is found in a kernel and in its parts. `data`: the register that has a `Data`."""
    state = {known: PUBLIC for r in ARGUMENTS for known in (r, f"low {r}")}
    found, waiting, seen = {}, [(address, state | ({data: DATA} if data else {}))], set()
    while waiting:
        address, state = waiting.pop()
        if (address, frozenset(state)) in seen or address not in program.code:
            continue
        seen.add((address, frozenset(state)))
        # Once more, when it is known where vectors are.
        function = Function(program, address, state, Function(program, address, state).vectors)
        found |= function.found
        waiting += function.calls.items()
    return list(found.values())


def main(path):
    program = Program(path, [KERNEL, LEAKING, PART])
    names = program.names.items()
    kernels = [(m[1], m[2], at) for at, name in names if (m := KERNEL.match(name))]
    leaking = {m[1]: findings(program, at) for at, name in names if (m := LEAKING.match(name))}
    wrong = [f"{what} of {engine} is not known here" for engine, what, _ in kernels if what not in KERNELS]
    wrong += [f"no {what} of {engine}" for engine in ENGINES for what in KERNELS
              if (engine, what) not in {kernel[:2] for kernel in kernels}]
    wrong += [f"nothing is found in the kernel that leaks {how}" for how in LEAKS if not leaking.get(how)]
    for engine, what, at in kernels:
        print(f"{engine} {what}: {program.sizes[at]} bytes")
        wrong += findings(program, at, KERNELS.get(what))
    size = sum(program.sizes[at] for _, _, at in kernels)
    print(f"{size} bytes in {len(kernels)} kernels")
    if size > MOST_BYTES:
        wrong.append(f"more than {MOST_BYTES} bytes")
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
