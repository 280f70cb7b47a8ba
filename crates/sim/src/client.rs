//! Clients of the API: each does one thing after the other in a corner of its own, tries again until it is answered, and
//! remembers what it was told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::balancing::{self, GROUPS};
use crate::dice::Dice;
use crate::site::Answer;

/// An image that never starts.
pub const BROKEN: &str = "broken:latest";

/// What a service was last acknowledged to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    pub desired: i64,
    /// ARN of the task definition.
    pub definition: String,
    pub active: bool,
    /// Its circuit breaker may bring an older definition back.
    pub breaker: bool,
}

/// What is under way.
#[derive(Clone, Debug)]
pub struct Doing {
    pub operation: &'static str,
    pub input: Value,
    /// The service it is about.
    pub service: Option<String>,
}

/// What an answer established, for the laws.
#[derive(Clone, Debug, PartialEq)]
pub enum Established {
    /// A task definition's ARN.
    Definition(String),
    /// The token, and the ARNs of what it made.
    Ran(String, Vec<String>),
    Stopped(String),
    Service(String),
    /// ARN, version and status of tasks that were described.
    Seen(Vec<(String, i64, String)>),
    Nothing,
}

#[derive(Debug)]
pub struct Client {
    name: String,
    pub definitions: Vec<String>,
    /// Those of an image that never starts.
    broken: Vec<String>,
    pub services: BTreeMap<String, Service>,
    /// Tasks that ran for it and that it has not stopped.
    pub tasks: Vec<String>,
    pub doing: Option<Doing>,
    /// Counts every request that is sent.
    pub attempt: u64,
    tokens: u64,
    /// A request that was answered, to be repeated with its token.
    echo: Option<Doing>,
    /// Services that have been given a sound deployment in the end.
    renewed: BTreeSet<String>,
    /// It only winds up.
    pub closing: bool,
    subnets: Vec<String>,
}

impl Client {
    pub fn new(index: usize, subnets: Vec<String>) -> Self {
        Self {
            name: format!("c{index}"),
            definitions: Vec::new(),
            broken: Vec::new(),
            renewed: BTreeSet::new(),
            services: BTreeMap::new(),
            tasks: Vec::new(),
            doing: None,
            attempt: 0,
            tokens: 0,
            echo: None,
            closing: false,
            subnets,
        }
    }

    /// Whether it has nothing left to do.
    pub fn is_done(&self) -> bool {
        self.closing && self.doing.is_none() && self.winding_up().is_none()
    }

    /// What it does next, if anything.
    pub fn next(&mut self, dice: &mut Dice) -> Option<Doing> {
        if self.closing {
            return self.winding_up();
        }
        if self.definitions.is_empty() {
            return Some(self.register(dice));
        }
        if let Some(echo) = self.echo.take() {
            return Some(echo);
        }
        match dice.between(0, 99) {
            0..=7 => Some(self.register(dice)),
            8..=37 => Some(self.run(dice)),
            38..=54 => self.stop(dice),
            55..=64 => Some(self.create(dice)),
            65..=86 => self.update(dice),
            87..=89 => self.delete(dice),
            _ => self.describe(),
        }
    }

    fn register(&self, dice: &mut Dice) -> Doing {
        let broken = !self.definitions.is_empty() && dice.chance(200);
        let image = if broken { BROKEN } else { "web:latest" };
        let ports: Vec<Value> = GROUPS.iter().map(|(_, _, port)| json!({"containerPort": port})).collect();
        let mut container = json!({"name": "web", "image": image, "essential": true, "portMappings": ports});
        if dice.chance(300) {
            container["healthCheck"] = json!({"command": ["CMD", "true"]});
        }
        let input = json!({
            "family": self.name, "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256",
            "memory": "512", "containerDefinitions": [container],
        });
        Doing { operation: "RegisterTaskDefinition", input, service: None }
    }

    fn token(&mut self) -> String {
        self.tokens += 1;
        format!("{}-{}", self.name, self.tokens)
    }

    fn network(&self, dice: &mut Dice) -> Value {
        let public = if dice.chance(300) { "ENABLED" } else { "DISABLED" };
        json!({"awsvpcConfiguration": {"subnets": self.subnets, "assignPublicIp": public}})
    }

    /// No target group, or one, or both.
    fn balancers(dice: &mut Dice) -> Value {
        let count = dice.between(0, GROUPS.len() as i64) as usize;
        let entry = |(name, _, port): &(&str, i64, i32)| json!({"targetGroupArn": balancing::arn(name), "containerName": "web", "containerPort": port});
        GROUPS[..count].iter().map(entry).collect()
    }

    fn run(&mut self, dice: &mut Dice) -> Doing {
        let token = self.token();
        let input = json!({
            "cluster": "prod", "taskDefinition": dice.pick(&self.definitions), "launchType": "FARGATE",
            "count": dice.between(1, 3), "startedBy": token, "clientToken": token,
            "networkConfiguration": self.network(dice),
        });
        Doing { operation: "RunTask", input, service: None }
    }

    fn stop(&self, dice: &mut Dice) -> Option<Doing> {
        let task = dice.pick(&self.tasks)?;
        Some(Doing { operation: "StopTask", input: json!({"cluster": "prod", "task": task}), service: None })
    }

    fn create(&mut self, dice: &mut Dice) -> Doing {
        let name = format!("{}-{}", self.name, dice.between(0, 1));
        let percentages = [(100, 200), (50, 200), (0, 150), (50, 100)];
        let (minimum, maximum) = dice.pick(&percentages).copied().unwrap_or(percentages[0]);
        let token = self.token();
        let breaker = dice.chance(300);
        let input = json!({
            "cluster": "prod", "serviceName": name, "taskDefinition": dice.pick(&self.definitions),
            "launchType": "FARGATE", "desiredCount": dice.between(1, 4), "clientToken": token,
            "networkConfiguration": self.network(dice), "loadBalancers": Self::balancers(dice),
            "deploymentConfiguration": {
                "minimumHealthyPercent": minimum, "maximumPercent": maximum,
                "deploymentCircuitBreaker": {"enable": breaker, "rollback": breaker},
            },
        });
        Doing { operation: "CreateService", input, service: Some(name) }
    }

    fn update(&self, dice: &mut Dice) -> Option<Doing> {
        let active: Vec<&String> = self.active().collect();
        let name = dice.pick(&active)?.to_string();
        let mut input = json!({"cluster": "prod", "service": name});
        if dice.chance(600) {
            input["desiredCount"] = dice.between(0, 4).into();
        }
        if dice.chance(600) {
            input["taskDefinition"] = json!(dice.pick(&self.definitions));
        }
        if dice.chance(150) {
            input["loadBalancers"] = Self::balancers(dice);
        }
        Some(Doing { operation: "UpdateService", input, service: Some(name) })
    }

    fn delete(&self, dice: &mut Dice) -> Option<Doing> {
        let active: Vec<&String> = self.active().collect();
        let name = dice.pick(&active)?.to_string();
        let input = json!({"cluster": "prod", "service": name, "force": true});
        Some(Doing { operation: "DeleteService", input, service: Some(name) })
    }

    fn describe(&self) -> Option<Doing> {
        let newest: Vec<&String> = self.tasks.iter().rev().take(10).collect();
        let asked = !newest.is_empty();
        let input = json!({"cluster": "prod", "tasks": newest});
        asked.then_some(Doing { operation: "DescribeTasks", input, service: None })
    }

    fn active(&self) -> impl Iterator<Item = &String> {
        self.services.iter().filter(|(_, service)| service.active).map(|(name, _)| name)
    }

    /// Stops its tasks and makes its services small: of two tasks, so that floor and ceiling leave a move.
    fn winding_up(&self) -> Option<Doing> {
        if let Some(task) = self.tasks.first() {
            let input = json!({"cluster": "prod", "task": task});
            return Some(Doing { operation: "StopTask", input, service: None });
        }
        let mut other = self.services.iter().filter(|(name, service)| service.active && !self.is_sound(name, service));
        let (name, service) = other.next()?;
        let sound = self.definitions.iter().find(|arn| !self.broken.contains(arn));
        let desired = if service.desired == 0 { 0 } else { 2 };
        let input = json!({
            "cluster": "prod", "service": name, "desiredCount": desired, "taskDefinition": sound,
            "forceNewDeployment": true,
        });
        Some(Doing { operation: "UpdateService", input, service: Some(name.clone()) })
    }

    /// Whether a service may stay as it is: small, and nothing that was given up.
    fn is_sound(&self, name: &str, service: &Service) -> bool {
        let given_up = service.breaker || self.broken.contains(&service.definition);
        [0, 2].contains(&service.desired) && (!given_up || self.renewed.contains(name))
    }

    /// The answer to what is under way.
    pub fn answered(&mut self, answer: &Answer, dice: &mut Dice) -> Result<Established, String> {
        let Some(doing) = self.doing.take() else { return Ok(Established::Nothing) };
        let output = match answer {
            Answer::Done(output) => output,
            Answer::Fault(fault) => return self.refused(&doing, fault),
            Answer::Away => {
                self.doing = Some(doing);
                return Ok(Established::Nothing);
            }
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(match doing.operation {
            "RegisterTaskDefinition" => {
                let arn = text(&output["taskDefinition"]["taskDefinitionArn"]);
                if doing.input["containerDefinitions"][0]["image"] == BROKEN {
                    self.broken.push(arn.clone());
                }
                self.definitions.push(arn.clone());
                Established::Definition(arn)
            }
            "RunTask" => {
                let token = text(&doing.input["clientToken"]);
                let made: Vec<String> =
                    output["tasks"].as_array().into_iter().flatten().map(|task| text(&task["taskArn"])).collect();
                let new = made.iter().filter(|arn| !self.tasks.contains(arn)).cloned().collect::<Vec<_>>();
                self.tasks.extend(new);
                if !made.is_empty() && dice.chance(150) {
                    self.echo = Some(doing);
                }
                Established::Ran(token, made)
            }
            "StopTask" => {
                let arn = text(&doing.input["task"]);
                self.tasks.retain(|task| *task != arn);
                Established::Stopped(arn)
            }
            "DescribeTasks" => {
                let tasks = output["tasks"].as_array().into_iter().flatten();
                let seen = |task: &Value| {
                    let version = task["version"].as_i64().unwrap_or_default();
                    (text(&task["taskArn"]), version, text(&task["lastStatus"]))
                };
                Established::Seen(tasks.map(seen).collect())
            }
            _ => self.service_answered(&doing, &output["service"]),
        })
    }

    fn service_answered(&mut self, doing: &Doing, output: &Value) -> Established {
        let Some(name) = doing.service.clone() else { return Established::Nothing };
        let service = Service {
            desired: output["desiredCount"].as_i64().unwrap_or_default(),
            definition: output["taskDefinition"].as_str().unwrap_or_default().to_owned(),
            active: output["status"] == "ACTIVE",
            breaker: output["deploymentConfiguration"]["deploymentCircuitBreaker"]["enable"] == true,
        };
        self.services.insert(name.clone(), service);
        if self.closing && doing.input["forceNewDeployment"] == true {
            self.renewed.insert(name.clone());
        }
        Established::Service(name)
    }

    /// A fault is an answer too; some are what a retry or an earlier call has brought about.
    fn refused(&mut self, doing: &Doing, fault: &str) -> Result<Established, String> {
        if fault.contains("ServiceUnavailable") {
            self.doing = Some(doing.clone());
            return Ok(Established::Nothing);
        }
        let expected = match doing.operation {
            // The first attempt's answer was lost, and the service is on its way out by now.
            "DeleteService" | "UpdateService" => fault.contains("Service"),
            // The name is taken, or its predecessor still drains.
            "CreateService" => fault.contains("idempotent") || fault.contains("Draining"),
            _ => false,
        };
        if !expected {
            return Err(format!("{} {} was refused: {fault}", doing.operation, doing.input));
        }
        if doing.operation != "CreateService"
            && let Some(service) = doing.service.as_ref().and_then(|name| self.services.get_mut(name))
        {
            service.active = false;
        }
        Ok(Established::Nothing)
    }
}
