//! `GET /compute/v1/whynot/{instance}?node_id={node}`: why an instance is not on a node.

use crate::{
    claims,
    launch::{group_of, instance_id},
    routes::describe_path,
    schedule::{self, Asked, Candidate, Need, Request, Rule},
};
use actix_web::{HttpRequest, HttpResponse, web};
use cirro_models::{
    Context, Error, Id, Result,
    compute::{
        Instance, LaunchPlan, Node,
        placement::PlacementPolicy,
        why_not::{Amounts, WhyNot},
    },
};
use cirro_server::{
    OwnerContext, Tx,
    http::{Caller, Failure, operation},
};
use serde::Deserialize;
use std::collections::HashMap;
use utoipa::{
    PartialSchema,
    openapi::{
        HttpMethod, OpenApi, PathItem, Required,
        path::{ParameterBuilder, ParameterIn},
        response::ResponseBuilder,
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    node_id: Id<Node>,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.route("/whynot/{instance}", web::get().to(why_not));
}

async fn why_not(caller: Caller, path: web::Path<String>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let work = async {
        if !caller.subject().is_operator() {
            return Err(Error::forbidden("which nodes there are is an operator's to know: ask one of the site"));
        }
        let missing = || Error::not_found("instance", path.chars().take(64).collect::<String>());
        let instance: Id<Instance> = path.parse().map_err(|_| missing())?;
        let asked: Question = serde_urlencoded::from_str(request.query_string())
            .map_err(|_| Error::invalid("node_id", "give the id of the node that is asked about, and nothing else"))?;
        let answer = look(&caller, instance, asked.node_id).await?;
        Ok(HttpResponse::Ok().insert_header(("x-request-id", caller.request_id())).json(answer))
    };
    work.await.map_err(|error| Failure::with_id(caller.request_id(), error))
}

async fn look(ctx: &Context, instance: Id<Instance>, node: Id<Node>) -> Result<WhyNot> {
    ctx.write(move |tx| {
        let (instance, node): (Instance, Node) = (tx.get(instance)?, tx.get(node)?);
        let scene = Scene::of(tx, &instance)?;
        let stands = |node: Option<usize>| node.map(|node| scene.stands(node));
        let asked = scene.nodes.iter().position(|candidate| candidate.id == node.id);
        let own = scene.nodes.iter().position(|candidate| Some(candidate.id) == scene.placed_on);
        let standing = stands(asked);
        let free = asked.map_or([0; 3], |asked| scene.nodes[asked].free());
        Ok(WhyNot {
            instance_id: instance.id,
            node_id: node.id,
            placed_on: scene.placed_on,
            refusal: standing.and_then(Result::err).map(|refusal| refusal.text().to_owned()),
            score: standing.and_then(Result::ok),
            own_score: stands(own).and_then(Result::ok),
            policy: scene.policy,
            need: amounts(scene.groups[scene.group].need.numbers()),
            free: amounts(free),
            placement: instance.placement,
        })
    })
    .await
}

fn amounts([vcpus, memory_mib, disk_gib]: [i64; 3]) -> Amounts {
    Amounts { vcpus, memory_mib, disk_gib }
}

/// What the scheduler would see if the instance had no place, and all else were as it is.
struct Scene {
    nodes: Vec<Candidate>,
    placed_on: Option<Id<Node>>,
    groups: Vec<Asked>,
    group: usize,
    rules: Vec<Rule>,
    policy: PlacementPolicy,
    /// Group and node of the plan's other instances.
    others: Vec<(usize, usize)>,
}

impl Scene {
    fn of(tx: &mut Tx<'_>, instance: &Instance) -> Result<Self> {
        let need = Need { vcpus: instance.vcpus, memory_mib: instance.memory_mib, disk_gib: instance.disk_gib };
        let mut nodes = claims::candidates(tx)?;
        let placed_on = claims::nodes_of(tx.connection(), &[instance.id])?.pop().map(|(_, node)| node);
        if let Some(own) = nodes.iter_mut().find(|node| Some(node.id) == placed_on) {
            own.claimed = own.claimed.without(&need);
        }
        let plan = instance.plan_id.map_or(Ok(None), |plan| tx.find::<LaunchPlan>(plan))?;
        let alone = |nodes| Self {
            nodes,
            placed_on,
            groups: vec![Asked { name: instance.name.to_string(), need, count: 1 }],
            group: 0,
            rules: Vec::new(),
            policy: PlacementPolicy::Spread,
            others: Vec::new(),
        };
        let Some((plan, group)) = plan.and_then(|plan| group_of(&plan, instance.id).map(|group| (plan, group))) else {
            return Ok(alone(nodes));
        };
        let numbers: HashMap<Id<Node>, usize> = nodes.iter().enumerate().map(|(n, node)| (node.id, n)).collect();
        let count = usize::try_from(plan.count()).unwrap_or(0);
        let ids: Vec<Id<Instance>> = (0..count).map(|index| instance_id(plan.id, index)).collect();
        let mut groups: Vec<Asked> = plan
            .groups
            .iter()
            .map(|group| Asked { name: group.name.to_string(), need, count: group.count.get() })
            .collect();
        let mut others = Vec::new();
        for (other, node, need) in claims::places(tx.connection(), &ids)? {
            let (Some(of), Some(at)) = (group_of(&plan, other), numbers.get(&node)) else { continue };
            groups[of].need = need;
            if other != instance.id {
                others.push((of, *at));
            }
        }
        groups[group].need = need;
        let rules = schedule::rules(&plan.groups, plan.relationships.as_deref().unwrap_or_default());
        Ok(Self { groups, group, rules, policy: plan.policy, others, ..alone(nodes) })
    }
    fn stands(&self, node: usize) -> Result<i64, schedule::Refusal> {
        let request = Request {
            groups: &self.groups,
            rules: &self.rules,
            policy: &self.policy,
            seed: 0,
            without: &[],
            present: &[],
        };
        schedule::judge(&request, &self.nodes, &self.others, self.group, node)
    }
}

pub(crate) fn describe(document: &mut OpenApi) {
    describe_path::<WhyNot>(document, "/compute/v1/whynot/{instance}", "instance", |schema| {
        let answer = ResponseBuilder::new()
            .description("How the node stands for the instance")
            .content("application/json", schema);
        let node = ParameterBuilder::new().name("node_id").parameter_in(ParameterIn::Query).required(Required::True);
        let get = operation("get_whynot".to_owned(), "instance", "Why an instance is not on a node".to_owned());
        let get = get.parameter(node.schema(Some(<Id<Node> as PartialSchema>::schema())).build());
        PathItem::new(HttpMethod::Get, get.response("200", answer))
    });
}
