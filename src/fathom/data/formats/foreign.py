"""Formats that are not read, each with the way out."""

from __future__ import annotations

_WORKBOOK = (
    "a workbook, which is not read: open it, choose Save As (or Download), CSV (.csv, "
    "UTF-8, with commas), for the one sheet that you mean, and give that file"
)
_PICKLE = (
    "a pickle, which can run any program when it is opened, and is not read: where it came from, "
    "save the table with to_parquet or the arrays with numpy.savez"
)
_STATISTICS = (
    "a file of a statistics program, which is not read: export the table as CSV there, or with "
    "pandas (read_stata, read_sas, read_spss and to_csv)"
)
_DATABASE = "a database, which is not read: export the table or the query that you mean as CSV"
_ARRAYS = (
    "a file of arrays, which is not read: save the table with to_parquet, or the arrays with "
    "numpy.savez"
)
_ARCHIVE = "an archive of several files, which is not read: unpack it, and give the folder"

ADVICE: dict[str, str] = {
    **dict.fromkeys((".xlsx", ".xlsm", ".xls", ".xlsb", ".ods", ".numbers"), _WORKBOOK),
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".pt", ".pth"), _PICKLE),
    **dict.fromkeys((".dta", ".sav", ".sas7bdat", ".xpt", ".rds", ".rdata"), _STATISTICS),
    **dict.fromkeys((".db", ".sqlite", ".sqlite3", ".duckdb", ".sql"), _DATABASE),
    **dict.fromkeys((".h5", ".hdf5", ".hdf", ".mat", ".nc", ".arff"), _ARRAYS),
    **dict.fromkeys((".tar", ".tgz", ".tbz2", ".txz", ".7z", ".rar"), _ARCHIVE),
}
"""What a file of an ending is, and what to do instead; a sentence is made of it by 'PATH is …'."""
