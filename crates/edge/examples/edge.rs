//! An edge alone, for measurements: `edge FILE`, where FILE holds an `EdgeConfiguration` as JSON. Its problems go to standard
//! error. One thread serves all.

use longshore_edge::Edge;
use longshore_link::edge::EdgeConfiguration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("usage: edge FILE")?;
    let configuration: EdgeConfiguration = serde_json::from_slice(&std::fs::read(file)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(serve(configuration))
}

async fn serve(configuration: EdgeConfiguration) -> Result<(), Box<dyn std::error::Error>> {
    let edge = Edge::new();
    edge.apply(configuration).await?;
    loop {
        for problem in edge.report().await.problems {
            eprintln!("{}: {}", problem.listener, problem.problem);
        }
    }
}
