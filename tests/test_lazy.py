import subprocess
import sys

import pytest

from clipdim import contrast


@pytest.mark.parametrize("module", ["clipdim.contrast", "clipdim.contrast.recipes"])
def test_importing_loads_no_torch(module):
    code = f"import sys, {module} as m; dir(m); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there_and_completes():
    from clipdim.contrast.loss import info_nce

    assert set(contrast.__all__) <= set(dir(contrast))
    assert all(getattr(contrast, name).__name__ == name for name in contrast.__all__ if name != "RECIPES")
    assert contrast.info_nce is info_nce


def test_unknown_names_are_refused_with_those_that_there_are():
    with pytest.raises(AttributeError, match=r"'clipdim.contrast' has no attribute 'info_nec'; it has .*, info_nce, "):
        contrast.info_nec  # noqa: B018
    assert not hasattr(contrast, "adapt_noise")
