"""What a wheel carries beside the package: configs, tools, the built-in data and its model.

All else stands in pyproject.toml. ``mim`` looks for them in a package's folder ``.mim``, as it does
with MMSegmentation.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CARRIED = ("configs", "tools", "data/stamps", "data/checkpoints", "model-index.yml")
# What a user's own work leaves in these folders stays out.
KINDS = {".py", ".sh", ".yml", ".md", ".csv", ".png", ".flac", ".pth", ""}


class BuildWithFiles(build_py):
    """Copies them into the package that is built; an editable installation reads the checkout's."""

    def run(self) -> None:
        super().run()
        for source, target in self.carried().items():
            self.mkpath(str(target.parent))
            self.copy_file(str(source), str(target))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return super().get_outputs(include_bytecode) + [
            str(path) for path in self.carried().values()
        ]

    def carried(self) -> dict[Path, Path]:
        """Source to target."""
        if self.editable_mode:
            return {}
        place = Path(self.build_lib, "cpm_avs", ".mim")
        files = [path for name in CARRIED for path in (Path(name), *sorted(Path(name).rglob("*")))]
        return {path: place / path for path in files if path.is_file() and path.suffix in KINDS}


setup(cmdclass={"build_py": BuildWithFiles})
