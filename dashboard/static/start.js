// The page is complete as it comes, so it is shown first: whatever scripts there are wait until it has been painted, and come
// all at once then. The page names them with all that they import, for a browser would find that out file by file.

const LATEST_MS = 1000; // where a browser does not tell of its first paint, or has none yet

const painted = new Promise((done) => new PerformanceObserver(done).observe({ type: "paint", buffered: true }));
await Promise.race([painted, new Promise((done) => setTimeout(done, LATEST_MS))]);
for (const address of document.documentElement.dataset.scripts.split(" ")) import(address);
