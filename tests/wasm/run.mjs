// node run.mjs SCRIPT WHEEL...: unpack wheels into Pyodide's site-packages, and run a Python script there.
//
// Nothing is fetched: Pyodide is the package that npm installed, and it unpacks the wheels given, no others.

import { readFileSync } from "node:fs";
import { loadPyodide } from "pyodide";

const [script, ...wheels] = process.argv.slice(2);
const pyodide = await loadPyodide();
const sitePackages = pyodide.runPython("import sysconfig; sysconfig.get_path('purelib')");
for (const wheel of wheels) {
  pyodide.unpackArchive(new Uint8Array(readFileSync(wheel)), "wheel", { extractDir: sitePackages });
}
try {
  await pyodide.runPythonAsync(readFileSync(script, "utf8"));
} catch (error) {
  console.error(error.message); // alone: the stack would show all of Pyodide, on one line
  process.exitCode = 1;
}
