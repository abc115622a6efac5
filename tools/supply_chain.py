#!/usr/bin/env python3
"""What superres is made of: locked hashes, licences, a bill of materials.

    python tools/supply_chain.py lock            # requirements/lock*.txt, by uv
    python tools/supply_chain.py licences        # docs/licences.md, from the installed packages
    python tools/supply_chain.py sbom -o FILE    # CycloneDX 1.6 JSON: lock, licences, dependencies

``lock`` needs uv (``pip install uv``) and asks the package index for hashes; nothing is installed.
The other two read requirements/ and what is installed beside this Python, and no network.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements"
LICENCES = ROOT / "docs/licences.md"
PYTHONS = (11, 12, 13)
# What the CUDA build of torch needs, and no other: with the CPU build these are not installed.
CUDA = re.compile(r"nvidia-|cuda-|triton$")
SYSTEMS = re.compile(r"any$|(many|musl)?linux|macosx|win")

LOCK_HEADS = {
    "lock": """\
# What superres needs at run time, each file by its hash: every wheel of the pinned releases for
# Python 3.11 to 3.13 on Linux, macOS and Windows. Made by: python tools/supply_chain.py lock
#
#   pip install --require-hashes -r requirements/lock.txt
#   pip install --no-deps .
#
# torch is what the package index holds: a CUDA build with NVIDIA's libraries on Linux, a CPU build
# on macOS and Windows. lock-cpu.txt takes a CPU build on Linux as well. Builds of other indexes,
# for other releases of CUDA for example, have other hashes, which pip refuses: list one by
# python tools/supply_chain.py lock --wheel FILE
-r lock-common.txt
""",
    "lock-cpu": """\
# As lock.txt, with a CPU build of torch everywhere and nothing of NVIDIA's.
# Made by: python tools/supply_chain.py lock
#
#   pip install --require-hashes -r requirements/lock-cpu.txt \\
#       --extra-index-url https://download.pytorch.org/whl/cpu
#   pip install --no-deps .
#
# The package index has no CPU build for Linux: only files that were at hand are listed, by name
# below. Others have other hashes, those of other Pythons and other processors too, and pip refuses
# them: list one by  python tools/supply_chain.py lock --wheel FILE
-r lock-common.txt
""",
    "lock-common": """\
# All of lock.txt and lock-cpu.txt but torch. Made by: python tools/supply_chain.py lock
""",
}
LICENCES_HEAD = """\
# Licences

superres itself is under Apache-2.0 (`LICENSE`). What its dependencies say of themselves, at the
versions that the tests run with; made from the installed packages by
`python tools/supply_chain.py licences`.

Wheels may hold libraries of others; their files name them. OpenCV's hold FFmpeg (LGPL-2.1) and, on
Linux, Qt (LGPL-3.0): see `LICENSE-3RD-PARTY.txt` in its `dist-info` folder. The CUDA build of torch
brings NVIDIA's packages (`requirements/lock.txt`), most of them under NVIDIA's own licence.
"""


def requirement_lines(name: str) -> list[str]:
    """The lines of one requirements file, without comments."""
    lines = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def pinned() -> dict[str, str]:
    """Canonical names and versions of constraints.txt."""
    pairs = (line.split("==") for line in requirement_lines("constraints"))
    return {canonicalize_name(name): version for name, version in pairs}


# --- lock


def locked(name: str) -> list[dict[str, Any]]:
    """The packages of a lock: name, version, marker (or None), hashes, files noted by name."""
    text = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")
    packages: list[dict[str, Any]] = []
    for line in re.sub(r"\\\n\s*--hash", " --hash", text).splitlines():
        if found := re.fullmatch(r"#\s+(\S+\.whl) sha256:(\w+)", line.strip()):
            packages[-1]["files"][found[1]] = found[2]
            continue
        if not line or line.startswith(("#", "-")):
            continue
        requirement, *hashes = line.split(" --hash=")
        wanted = Requirement(requirement)
        (version,) = [s.version for s in wanted.specifier]
        packages.append(
            {
                "name": canonicalize_name(wanted.name),
                "version": version,
                "marker": str(wanted.marker) if wanted.marker else None,
                "hashes": [h.strip() for h in hashes],
                "files": {},
            }
        )
    return packages


def wanted_wheel(filename: str) -> bool:
    """Whether a wheel fits a supported Python and system."""
    for tag in parse_wheel_filename(filename)[3]:
        minor = re.fullmatch(r"cp3(\d+)", tag.interpreter)
        if tag.abi == "abi3":
            fits = minor is not None and int(minor[1]) <= PYTHONS[-1]
        elif minor:
            plain = tag.abi in (tag.interpreter, "none")  # cp313t is another Python
            fits = int(minor[1]) in PYTHONS and plain
        else:
            fits = tag.interpreter.startswith("py3")
        if fits and SYSTEMS.match(tag.platform):
            return True
    return False


def resolve() -> list[dict[str, Any]]:
    """The closure of runtime.txt at the pinned versions, as uv's pylock packages."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    command = [uv, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
    command += ["--format", "pylock.toml", "-c", "constraints.txt", "runtime.txt"]
    try:
        done = subprocess.run(command, cwd=REQUIREMENTS, capture_output=True, text=True)
    except OSError as error:
        sys.exit(f"error: uv is needed ({error}); get it with: pip install uv")
    if done.returncode:
        sys.exit(f"error: uv could not resolve requirements/runtime.txt:\n{done.stderr}")
    return tomllib.loads(done.stdout)["packages"]


def wheel_hashes(package: dict[str, Any]) -> dict[str, str]:
    """File names and hashes of the wheels that fit; of the sources where there are no wheels."""
    files = {wheel["url"].rsplit("/", 1)[1]: wheel for wheel in package.get("wheels", [])}
    fitting = {n: w["hashes"]["sha256"] for n, w in files.items() if wanted_wheel(n)}
    return fitting or {"": package["sdist"]["hashes"]["sha256"]}


def lock_entry(requirement: str, files: dict[str, str], named: bool = False) -> str:
    """The lines of one package; ``named`` notes each file as well."""
    hashes = (f"--hash=sha256:{value}" for value in sorted(set(files.values())))
    notes = [f"    # {name} sha256:{value}\n" for name, value in sorted(files.items()) if named]
    return " \\\n    ".join([requirement, *hashes]) + "\n" + "".join(notes)


def lock_torch(package: dict[str, Any], extra: dict[str, str]) -> dict[str, str]:
    """The entries of torch in each lock; ``extra`` are the hashes of files from other indexes."""
    version = package["version"]
    extra = {n: h for n, h in extra.items() if parse_wheel_filename(n)[1].public == version}
    cpu = {n: h for n, h in extra.items() if "+cpu-" in n}
    index = wheel_hashes(package)
    elsewhere = {n: h for n, h in extra.items() if n not in index and n not in cpu}
    plain = {n: h for n, h in index.items() if "linux" not in n}
    entry = lock_entry(f"torch=={version}+cpu ; sys_platform == 'linux'", cpu, named=True)
    return {
        "lock": lock_entry(f"torch=={version}", index | elsewhere, named=True),
        "lock-cpu": (entry if cpu else "")
        + lock_entry(f"torch=={version} ; sys_platform != 'linux'", plain, named=True),
    }


def lock(wheels: list[Path]) -> None:
    """Write the locks; files that were added before stay while their version does."""
    extra: dict[str, str] = {}
    for name in ("lock", "lock-cpu"):
        for entry in locked(name) if (REQUIREMENTS / f"{name}.txt").exists() else []:
            extra |= entry["files"]
    for wheel in wheels:
        with wheel.open("rb") as file:
            extra[wheel.name] = hashlib.file_digest(file, "sha256").hexdigest()
    texts = dict(LOCK_HEADS)
    for package in sorted(resolve(), key=lambda p: p["name"]):
        if package["name"] == "torch":
            for which, text in lock_torch(package, extra).items():
                texts[which] += text
            continue
        marker = f" ; {package['marker']}" if package.get("marker") else ""
        which = "lock" if CUDA.match(package["name"]) else "lock-common"
        head = f"{package['name']}=={package['version']}{marker}"
        texts[which] += lock_entry(head, wheel_hashes(package))
    for name, text in texts.items():
        (REQUIREMENTS / f"{name}.txt").write_text(text, encoding="utf-8")


# --- installed packages


def closure(roots: list[str]) -> dict[str, list[str]]:
    """Canonical names of the installed packages that ``roots`` need -> what each needs itself."""
    found: dict[str, list[str]] = {}
    todo = [Requirement(root) for root in roots]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        try:
            lines = metadata.distribution(name).requires or []
        except metadata.PackageNotFoundError:
            continue
        needs = [r for r in map(Requirement, lines) if _applies(r, requirement.extras)]
        names = {canonicalize_name(r.name) for r in needs}
        if name in found and names <= set(found[name]):
            continue
        found[name] = sorted({*found.get(name, []), *names})
        todo += needs
    return found


def _applies(requirement: Requirement, extras: set[str]) -> bool:
    if requirement.marker is None:
        return True
    environment = dict(default_environment())
    return any(requirement.marker.evaluate({**environment, "extra": e}) for e in ("", *extras))


def licence(name: str) -> str:
    """What an installed package says of its licence, in a few words."""
    data = metadata.metadata(name)
    classifiers = [c for c in data.get_all("Classifier") or [] if c.startswith("License ::")]
    named = [c.rsplit(" :: ", 1)[1] for c in classifiers]
    written = (data.get("License") or "").strip()
    if data.get("License-Expression"):
        return data["License-Expression"]
    if written and written != "UNKNOWN" and len(written) < 60 and "\n" not in written:
        return written.removeprefix("OSI Approved :: ")
    return "; ".join(named) or "see its licence file"


def home_page(name: str) -> str:
    """Where an installed package says that it lives; '' where it does not say."""
    data = metadata.metadata(name)
    urls = dict(line.split(", ", 1) for line in data.get_all("Project-URL") or [])
    lower = {label.lower(): url for label, url in urls.items()}
    for label in ("homepage", "home", "source", "source code", "repository", "github"):
        if label in lower:
            return lower[label]
    return data.get("Home-page") or next(iter(urls.values()), "")


def optional() -> list[str]:
    """All packages that the extras of optional.txt ask for."""
    lines = (line.partition(":")[2] for line in requirement_lines("optional"))
    return sorted({name.strip() for line in lines for name in line.split(",")})


def licences_page() -> str:
    """The page of licences."""
    runtime = closure(requirement_lines("runtime"))
    extras = {n: v for n, v in closure(optional()).items() if n not in runtime}
    needed = {p["name"] for p in locked("lock-common")} | {
        canonicalize_name(Requirement(line).name) for line in optional()
    }
    elsewhere = sorted(needed - {*runtime, *extras})
    parts = [LICENCES_HEAD]
    for title, names in (("Always installed", runtime), ("With the extras", extras)):
        parts += [f"\n## {title}\n\n| package | version | licence | home |\n|---|---|---|---|\n"]
        for name in sorted(names):
            version = metadata.version(name).partition("+")[0]
            parts.append(f"| {name} | {version} | {licence(name)} | {_link(home_page(name))} |\n")
    if elsewhere:
        parts.append(f"\nNot installed where this was made: {', '.join(elsewhere)}.\n")
    return "".join(parts)


def _link(url: str) -> str:
    return f"<{url}>" if url else ""


# --- bill of materials


def sbom() -> dict[str, Any]:
    """A CycloneDX 1.6 document of the locked packages that are installed."""
    needs = closure(requirement_lines("runtime"))
    locks = {p["name"]: p for name in LOCK_HEADS for p in locked(name)}
    text = (ROOT / "superres/__init__.py").read_text(encoding="utf-8")
    own = re.search(r'^__version__ = "(.+)"', text, re.M)[1]
    refs = {name: f"pkg:pypi/{name}@{metadata.version(name)}" for name in sorted(needs)}
    main = f"pkg:pypi/superres@{own}"
    components = [_component(name, refs[name], locks.get(name)) for name in sorted(needs)]
    roots = {canonicalize_name(Requirement(r).name) for r in requirement_lines("runtime")}
    graph = [{"ref": main, "dependsOn": sorted(refs[r] for r in roots if r in refs)}]
    for name in sorted(needs):
        on = [refs[need] for need in needs[name] if need in refs]
        graph.append({"ref": refs[name], "dependsOn": on})
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    top = {"type": "library", "bom-ref": main, "name": "superres", "version": own, "purl": main}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(components))}",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)),
            "component": {**top, "licenses": [{"expression": "Apache-2.0"}]},
        },
        "components": components,
        "dependencies": graph,
    }


def _component(name: str, ref: str, entry: dict[str, Any] | None) -> dict[str, Any]:
    version = metadata.version(name)
    component: dict[str, Any] = {"type": "library", "bom-ref": ref, "name": name}
    component |= {"version": version, "purl": ref.replace("+", "%2B")}
    expression = metadata.metadata(name).get("License-Expression")
    said = {"expression": expression} if expression else {"license": {"name": licence(name)}}
    component["licenses"] = [said]
    links = [{"type": "website", "url": home_page(name)}] if home_page(name) else []
    if entry and entry["version"] == version.partition("+")[0]:
        # Any of these files may be the one that was installed.
        for value in entry["hashes"]:
            hashes = [{"alg": "SHA-256", "content": value.removeprefix("sha256:")}]
            url = f"https://pypi.org/project/{name}/{entry['version']}/"
            links.append({"type": "distribution", "url": url, "hashes": hashes})
    if links:
        component["externalReferences"] = links
    return component


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("lock", help="write requirements/lock*.txt")
    one.add_argument("--wheel", type=Path, nargs="+", default=[], help="also allow these files")
    commands.add_parser("licences", help="write docs/licences.md")
    two = commands.add_parser("sbom", help="write a bill of materials")
    two.add_argument("-o", "--out", type=Path, help="not to standard output but there")
    args = parser.parse_args()
    if args.command == "lock":
        lock(args.wheel)
    elif args.command == "licences":
        LICENCES.write_text(licences_page(), encoding="utf-8")
    else:
        text = json.dumps(sbom(), indent=1) + "\n"
        if args.out:
            args.out.write_text(text, encoding="utf-8")
        else:
            print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
