"""refquant in WebAssembly: in Pyodide, which Node runs."""
