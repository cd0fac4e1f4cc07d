"""What the check of the notebooks executed, kept for the site: once is enough.

The tests run every notebook with nbmake and then build the site, which executes what
is not in the cache of `book.execute`. With `KeptRun` in nbmake's place (`conftest.py`
puts it there) a notebook that passed the check is in that cache.
"""

import time
from pathlib import Path

import torch
from nbmake.nb_result import NotebookResult
from nbmake.nb_run import NotebookRun

from book.execute import MergeError, Run, merge
from book.jobs import NOTEBOOKS, book_jobs
from lib.page.profile import profile_name


class KeptRun(NotebookRun):
    """nbmake's run of a notebook; what passed goes to the cache of the site.

    Left out is what the site would execute otherwise: a page with parameters of its
    own or with a notebook that it needs, a `.py` whose code is not that of its
    `.ipynb`, any page where there is a GPU, and of course a notebook that failed.
    """

    def execute(self) -> NotebookResult:
        """Execute as nbmake does, and keep the result if the site may use it."""
        run, began = self._run_of_the_site(), time.monotonic()
        result = super().execute()
        passed = result.error is None and not self.find_import_errors
        if run and passed and not torch.cuda.is_available():
            try:
                merge(run.nb, result.nb)
            except MergeError:
                return result
            run.passed(result.nb, time.monotonic() - began, "cpu")
        return result

    def _run_of_the_site(self) -> Run | None:
        """The run whose key this code has now, before it is executed."""
        file = Path(self.filename).resolve()
        if file.parent != NOTEBOOKS.resolve():
            return None
        for job in book_jobs(profile_name(), NOTEBOOKS):
            if job.name == file.stem and not job.parameters and not job.needs:
                return Run(job)
        return None
